"""Where a model's RAM and flash go, part by part; who sets the peak; what each way of saving memory saved.

book = planned(prepare(graph, "c"))               # before anything is built: arena and weights
book = of_firmware(graph, emulate(...))           # of the linked image and the run: everything, parts sum to the metrics
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.errors import DoesNotFit

if TYPE_CHECKING:  # run files hold ledgers, and are read where no network is: nothing heavy is imported for that
    from edgekit.bench.emulate.result import Emulation
    from edgekit.graph import Graph
    from edgekit.memory import Plan
    from edgekit.schedule import Program
    from edgekit.target import Target

# The flash of a firmware by linker symbol: arrays of trained numbers; every other array is a constant that kernels need.
_TRAINED = re.compile(r"_(?:weights|bias|constant\d+)_\d+(?:\.\d+)?$")


@dataclass(frozen=True)
class Part:
    """Bytes of one part; note: what is in it."""

    name: str
    size: int
    note: str = ""


@dataclass(frozen=True)
class Saving:
    """Bytes of `memory` ("RAM" or "flash") that a technique saved: the plan or the program without it, less the one with
    it. Always planned, never measured."""

    technique: str
    memory: str
    size: int
    note: str = ""


@dataclass(frozen=True)
class Ledger:
    """how: "planned" (the parts that a plan knows) or "emulated" (all parts; flash and RAM sum to those metrics).

    ram: the arena is given as what it holds at its peak, `io` among it. io: bytes of inputs and outputs, wherever in time;
    arena: bytes; peak: the step that sets it; alive: (tensor, bytes) in the arena then, largest first."""

    how: str
    flash: tuple[Part, ...]
    ram: tuple[Part, ...]
    arena: int
    io: int
    peak: str
    alive: tuple[tuple[str, int], ...]
    savings: tuple[Saving, ...]

    @property
    def flash_total(self) -> int:
        return sum(part.size for part in self.flash)

    @property
    def ram_total(self) -> int:
        return sum(part.size for part in self.ram)


def planned(graph: Graph, *, const_input: bool = False, isa: str = "plain", program: Program | None = None) -> Ledger:
    """The ledger of a graph prepared for "c", before it is built: no code, no stack, no constants of kernels. program: of the
    graph, when it is not the usual one.

    Raises Unsupported when the C engine lacks an operator."""
    program, layout = _planned(graph, const_input, isa, program)
    flash = (Part("weights", _distinct(program), "weights and biases"),)
    return _book("planned", program, layout, flash, (), const_input, isa)


def of_firmware(
    graph: Graph, run: Emulation, *, const_input: bool = False, isa: str = "plain", program: Program | None = None
) -> Ledger:
    """The ledger of what was linked and run. graph: what was exported; program: as of `planned`."""
    program, layout = _planned(graph, const_input, isa, program)
    parts = run.flash_parts
    trained = sum(size for name, size in run.flash_symbols.items() if _TRAINED.search(name))
    constants = parts["weights"] + parts["rodata"] - trained
    flash = (
        Part("weights", trained, "weights and biases"),
        Part("constants", constants, "multipliers, shifts, tables"),
        Part("code", parts["code"], "kernels and the calls of the network"),
        Part("runtime", parts["runtime"], "the compiler's library"),
        Part("start-up", parts["startup"] + parts["vectors"] + parts["data"], "vectors, start-up code, initial values"),
        Part("padding", parts["padding"], "alignment"),
    )
    rest = (Part("static", run.static, "variables outside the arena"), Part("stack", run.stack, "high-water mark"))
    return _book("emulated", program, layout, flash, rest, const_input, isa)


def trained_bytes(graph: Graph, *, isa: str = "plain") -> int:
    """Bytes of the weights and biases that the firmware of a graph prepared for "c" holds, without planning its memory."""
    from edgekit.schedule import schedule

    return _distinct(schedule(graph, isa=isa))


def check_flash(graph: Graph, target: Target, *, isa: str = "plain") -> None:
    """Raise DoesNotFit where the weights alone take more than the target's flash: compiling them would take minutes."""
    need = trained_bytes(graph, isa=isa)
    if target.flash is not None and need > target.flash:
        smaller = "use a smaller model or a larger board"
        raise DoesNotFit(
            f"{target.name} has {target.flash:,} bytes of flash: the weights alone take {need:,}, "
            f"{need - target.flash:,} bytes too many",
            smaller if graph.is_quantized else f"quantize it to int8 (edgekit quantize), a quarter of that; or {smaller}",
        )


def _planned(graph: Graph, const_input: bool, isa: str, program: Program | None) -> tuple[Program, Plan]:
    from edgekit.memory import plan
    from edgekit.schedule import schedule

    program = program or schedule(graph, const_input=const_input, isa=isa)
    return program, plan(program)


def _book(
    how: str, program: Program, layout: Plan, flash: tuple[Part, ...], rest: tuple[Part, ...], const_input: bool, isa: str
) -> Ledger:
    graph = program.graph
    ports = {*graph.inputs, *graph.outputs}
    working = {step.scratch.tensor for step in program.steps if step.scratch is not None}
    scratch = sum(size for name, size in layout.who.tensors if name in working)
    tensors = sum(size for _, size in layout.who.tensors) - scratch
    io = min(tensors, sum(graph[name].nbytes for name in _alive(program, layout.who.step)))
    held = {"I/O": io, "activations": tensors - io, "scratch": scratch}
    notes = {
        "I/O": "inputs and outputs alive at the peak",
        "activations": "between layers, at the peak",
        "scratch": "of one kernel" if layout.who.title[:7] != "CASCADE" else "rows between layers, and of one kernel",
    }
    arena = [Part(name, size, notes[name]) for name, size in held.items()]
    arena.append(Part("gaps", layout.peak - sum(held.values()), "of the arena, unused at the peak"))
    return Ledger(
        how=how,
        flash=tuple(part for part in flash if part.size),
        ram=tuple(part for part in (*arena, *rest) if part.size),
        arena=layout.peak,
        io=sum(graph[name].nbytes for name in ports),
        peak=f"step {layout.who.step} {layout.who.title}",
        alive=layout.who.tensors,
        savings=tuple(saving for saving in _savings(program, layout, const_input, isa) if saving.size),
    )


def _alive(program: Program, step: int) -> set[str]:
    """Inputs that are still read at `step` or later (or must keep their values), and outputs that are written by then."""
    from edgekit.schedule import BufferView

    graph, root = program.graph, program.roots
    found = {name for name in graph.inputs if program.views[name].buffer in program.held or step < 0}
    for index, call in enumerate(program.steps):
        if index >= step:
            read = {root.get(o.tensor, o.tensor) for o in call.inputs if isinstance(o, BufferView)}
            found |= {name for name in graph.inputs if root.get(name, name) in read}
        if index <= step:
            made = {root.get(view.tensor, view.tensor) for view in call.outputs}
            found |= {name for name in graph.outputs if root.get(name, name) in made}
    return found


def _savings(program: Program, layout: Plan, const_input: bool, isa: str) -> Iterable[Saving]:
    """Each is the difference of two plans of the same network, or of what two programs read."""
    from edgekit.memory import occupancy, plan
    from edgekit.schedule import schedule

    source = program.source
    apart = schedule(source, in_place=False, const_input=const_input, isa=isa)
    alone = plan(apart).peak
    every = sum(int(need.max()) for need in occupancy(apart).values())
    yield Saving("buffers that share memory over time", "RAM", every - alone, f"each tensor by itself: {every:,} B")
    cascades = [step.cascade for step in program.steps if step.cascade is not None]
    by_layer = plan(schedule(source, const_input=const_input, isa=isa)).peak if cascades else layout.peak
    yield Saving("outputs in place of inputs", "RAM", alone - by_layer, f"without: {alone:,} B")
    if cascades:
        layers, extra = sum(len(c.stages) for c in cascades), sum(c.extra for c in cascades)
        cost = f"about {extra:,} instructions more (estimated); layer by layer: {by_layer:,} B"
        yield Saving(f"{layers} layers a few rows at a time", "RAM", by_layer - layout.peak, cost)
    if not const_input and not cascades:
        kept = plan(schedule(source, const_input=True, isa=isa)).peak
        yield Saving("input overwritten", "RAM", kept - layout.peak, f"with --const-input: {kept:,} B")
    whole = schedule(source, dead_channels=True, const_input=const_input, isa=isa)
    before, after = (sum(tensor.nbytes for tensor in p.weights) for p in (whole, program))
    yield Saving("dead channels left out", "RAM", plan(whole).peak - by_layer)
    yield Saving("dead channels left out", "flash", before - after, "of the weights")
    yield Saving("equal weights stored once", "flash", after - _distinct(program))


def _distinct(program: Program) -> int:
    """Bytes of the constants that kernels read, equal ones once."""
    return sum({(t.dtype, t.data.tobytes()): t.nbytes for t in program.weights if t.data is not None}.values())


def from_json(data: Mapping[str, Any]) -> Ledger:
    """The Ledger that `dataclasses.asdict` made. Raises KeyError, TypeError or ValueError."""
    return Ledger(
        how=str(data["how"]),
        flash=tuple(Part(**part) for part in data["flash"]),
        ram=tuple(Part(**part) for part in data["ram"]),
        arena=int(data["arena"]),
        io=int(data["io"]),
        peak=str(data["peak"]),
        alive=tuple((str(name), int(size)) for name, size in data["alive"]),
        savings=tuple(Saving(**saving) for saving in data["savings"]),
    )
