"""A cascade as C text: the order of its calls as bytes, and a loop with one case a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgekit.cascade import WALKED, WINDOWED, Cascade, Slide
from edgekit.export.c import text
from edgekit.export.c.site import Band, Site
from edgekit.graph import Graph
from edgekit.schedule import BufferView, Constant, KernelCall, Operand

SLIDES = 128  # a byte of the order from here on: a window slides, by as many rows as the next byte says


Place = Callable[[Operand], str]


@dataclass(frozen=True)
class Writer:
    """What writing a stage takes from the writer of the program. hook: name of the profiler's macro. number: of the first
    stage. place: addresses. site: makes the Site of a call in a graph. write: its text."""

    hook: str
    number: int
    place: Place
    site: Callable[[KernelCall, Graph, int, Place, Band], Site]
    write: Callable[[Site], list[str]]


def cascade_lines(graph: Graph, step: KernelCall, writer: Writer) -> list[str]:
    """The body of the step's block. Its state: rows made by each stage, the first row that each window holds."""
    cascade = step.cascade
    assert cascade is not None
    cases: list[str] = []
    for index in range(len(cascade.stages)):
        call, band = stage_call(graph, step, cascade, index), _band(graph, cascade, index)
        by_row = call.kernel in WALKED
        seen = _one_row(graph, call) if by_row else graph
        site = writer.site(call, seen, writer.number + index, _places(graph, cascade, call, writer.place), band)
        cases += _case(cascade, index, band, writer.write(site), by_row, writer)
    for k, window in enumerate(cascade.windows):
        front = window.tensors[0]
        at = writer.place(_held(graph, step, cascade, front, "int8"))
        slide = site.call("slide", at, window.row, f"&first[{k}]", f"made[{cascade.stage_of(front)}]", "*++at")
        cases += [f"case {SLIDES + k}:", f"    {slide}", "    break;"]
    order = [b for a in cascade.actions for b in ((SLIDES + a.window, a.drop) if isinstance(a, Slide) else (a.stage,))]
    name = site.array("order", np.array(order, np.uint8), "uint8_t", "stages; 128 and up: a window slides, by so many rows")
    state = [f"int32_t made[{len(cascade.stages)}] = {{0}};"]
    if cascade.windows:
        state.append(f"int32_t first[{len(cascade.windows)}] = {{0}};")
    return [
        *state,
        f"for (const uint8_t *at = {name}; at != {name} + {len(order)}; ++at) {{",
        "    switch (*at) {",
        *(f"    {line}" for line in cases),
        "    }",
        "}",
    ]


def stage_call(graph: Graph, step: KernelCall, cascade: Cascade, index: int) -> KernelCall:
    """The kernel call of a stage, as if its tensors lay whole where their windows begin."""
    stage, scratch = cascade.stages[index], step.scratch
    whole = {o.tensor: o for o in (*step.inputs, *step.outputs) if o is not None}

    def view(name: str | None) -> Operand:
        if name is None or graph[name].is_const:
            return None if name is None else Constant(name)
        held = cascade.window(name)
        return whole[name] if held is None else _held(graph, step, cascade, name, graph[name].dtype)

    output = view(stage.output)
    assert isinstance(output, BufferView)
    work = None if scratch is None else replace(scratch, shape=(cascade.work,))
    return KernelCall(stage.kernel, tuple(view(n) for n in stage.node.inputs), (output,), stage.node, work)


def _held(graph: Graph, step: KernelCall, cascade: Cascade, name: str, dtype: str) -> BufferView:
    k = cascade.window(name)
    assert k is not None
    assert step.scratch is not None
    return BufferView(name, step.scratch.buffer, step.scratch.offset + cascade.windows[k].offset, graph[name].shape, dtype)


def _places(graph: Graph, cascade: Cascade, call: KernelCall, place: Place) -> Place:
    """Addresses of the rows that a call reads and makes; a kernel that slides a window gets all rows that are held."""

    def at(operand: Operand) -> str:
        assert isinstance(operand, BufferView)
        base, k = place(operand), cascade.window(operand.tensor)
        if operand == call.scratch or (call.kernel in WINDOWED and operand is not call.outputs[0]):
            return base
        tensor = graph[operand.tensor]
        row = tensor.shape[2] * tensor.shape[3]
        return f"{base} + top * {row}" if k is None else f"{base} + (top - first[{k}]) * {row}"

    return at


def _band(graph: Graph, cascade: Cascade, index: int) -> Band:
    stage = cascade.stages[index]
    source = next(n for n in stage.node.inputs if n is not None and not graph[n].is_const)
    height, k = graph[stage.output].shape[1], cascade.window(source)
    rows = str(stage.rows) if height % stage.rows == 0 else "rows"
    held = ("0", str(graph[source].shape[1])) if k is None else (f"first[{k}]", f"made[{cascade.stage_of(source)}]")
    return Band("top", rows, height, held)


def _one_row(graph: Graph, call: KernelCall) -> Graph:
    """The graph whose moving operands of this call have one row."""
    assert call.node is not None
    names = [o.tensor for o in (*call.inputs, *call.outputs) if isinstance(o, BufferView)]
    cut = {n: replace(graph[n], shape=(1, 1, *graph[n].shape[2:])) for n in names}
    return replace(graph, tensors={**graph.tensors, **cut})


def _case(cascade: Cascade, index: int, band: Band, body: list[str], by_row: bool, writer: Writer) -> list[str]:
    stage, number = cascade.stages[index], writer.number + index
    lines = [f"case {index}: {{ /* {text.comment(stage.node.source)} */", f"    {writer.hook}({number});"]
    if band.rows == "rows":
        left = f"{band.height} - made[{index}]"
        lines.append(f"    const int32_t rows = {left} < {stage.rows} ? {left} : {stage.rows};")
    if by_row and stage.rows > 1:
        lines.append(f"    for (int32_t top = made[{index}], end = top + {band.rows}; top < end; ++top) {{")
        lines += [f"        {line}" for line in body]
        lines.append("    }")
    else:
        lines.append(f"    const int32_t top = made[{index}];")
        lines += [f"    {line}" for line in body]
    return [*lines, f"    made[{index}] += {band.rows};", "    break;", "}"]
