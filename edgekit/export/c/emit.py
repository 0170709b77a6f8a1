"""Program and Plan -> the steps as C text. Pure: same graph and name, same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import Unsupported
from edgekit.export.c import (
    calls_audio,
    calls_dsp,
    calls_dsp_transposed,
    calls_f32,
    calls_math,
    calls_move,
    calls_mve,
    calls_norm,
    calls_rnn,
    calls_s4,
    calls_s8,
    calls_s16,
    calls_spatial,
    text,
)
from edgekit.export.c.blocks import shared
from edgekit.export.c.cascades import Place, Writer, cascade_lines
from edgekit.export.c.interface import C_TYPES, Interface
from edgekit.export.c.site import Arrays, Band, Facts, Site
from edgekit.graph import Graph
from edgekit.memory import Plan
from edgekit.schedule import BufferView, KernelCall, Operand, Program

CALLS = (
    calls_audio.CALLS
    | calls_rnn.CALLS
    | calls_math.CALLS
    | calls_move.CALLS
    | calls_s8.CALLS
    | calls_s4.CALLS
    | calls_dsp.CALLS
    | calls_mve.CALLS
    | calls_f32.CALLS
    | calls_norm.CALLS
    | calls_spatial.CALLS
    | calls_dsp_transposed.CALLS
    | calls_s16.CALLS
)


@dataclass(frozen=True)
class Body:
    """The steps as text, the constant arrays and kernels they use.

    right, full: hold for every convolution and dense layer (see `Facts`), so the faster kernel texts do.
    """

    lines: Sequence[str]
    arrays: Arrays
    kernels: tuple[str, ...]
    right: bool
    full: bool

    @property
    def fills(self) -> dict[str, str]:
        """What the whole model decides in the kernels' text."""
        low, high = ("-128", "127") if self.full else ("q->low", "q->high")
        return {"SCALE": "scale_right" if self.right else "scale", "LOW": low, "HIGH": high}


def write_body(program: Program, plan: Plan, face: Interface) -> Body:
    """Written a second time when the first shows that no channel needs a left shift: then shifts are stored as such."""
    body = _write(program, plan, face, right=False)
    return _write(program, plan, face, right=True) if body.right else body


def _write(program: Program, plan: Plan, face: Interface, right: bool) -> Body:
    arrays, kernels, facts = Arrays(face.name), dict[str, None](), list[Facts]()
    problems: list[tuple[str, str, str]] = []

    def place(operand: Operand) -> str:
        assert isinstance(operand, BufferView)
        address = f"{face.prefix}_AT({C_TYPES[operand.dtype]}, {plan.address(operand)})"
        return parameter(program, face, operand) or address

    def site(call: KernelCall, graph: Graph, number: int, place: Place, band: Band | None) -> Site:
        return Site(graph, call, number, face.name, place, arrays, right, kernels, facts, band)

    def write(made: Site) -> list[str]:
        try:
            return CALLS[made.step.kernel](made)
        except Unsupported as error:
            problems.extend(error.problems)
            return []

    number = 0
    heads: list[list[str]] = []
    bodies: list[list[str]] = []
    for step in program.steps:
        heads.append([f"/* {text.comment(describe(program.graph, step))} */"])
        if step.cascade is None:
            heads[-1].append(f"{face.prefix}_STEP({number});")
            body = write(site(step, program.graph, number, place, None))
            number += 1
        else:
            body = cascade_lines(program.graph, step, Writer(f"{face.prefix}_STEP", number, place, site, write))
            number += len(step.cascade.stages)
        bodies.append(body)
    lines, bodies = shared(bodies)
    for head, body in zip(heads, bodies, strict=True):
        lines += [*head, *(body if len(body) == 1 else ["{", *(f"    {line}" for line in body), "}"])]
    lines.append(f"{face.prefix}_STEP({number});")
    if problems:
        raise Unsupported("C", problems)
    return Body(lines, arrays, tuple(kernels), all(f.right for f in facts), all(f.full for f in facts))


def parameter(program: Program, face: Interface, view: BufferView) -> str | None:
    """The function parameter that points to what `view` holds: an input, an output, or a reshape of one."""
    root = program.roots.get(view.tensor, view.tensor)
    for port in face.inputs:
        if port.tensor == root and program.views[port.tensor].buffer == view.buffer:
            return port.name
    for port in face.outputs:
        if program.roots[port.tensor] == root and program.outputs[port.tensor].buffer == view.buffer:
            return port.name
    return None


def describe(graph: Graph, step: KernelCall) -> str:
    """Op, source name and shapes of a step."""
    shapes = [_shape(view.shape) for view in step.outputs]
    if step.node is None:
        return f"{step.title} -> {' '.join(shapes)}"
    ins = [_shape(t.shape) for t in graph.input_tensors(step.node) if t is not None and not t.is_const]
    return f"{step.title}: {' '.join(ins)} -> {' '.join(shapes)}"


def _shape(shape: Sequence[int]) -> str:
    return "[" + ",".join(str(n) for n in shape) + "]"
