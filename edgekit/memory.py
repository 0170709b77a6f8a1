"""Program -> Plan: where each buffer lies in one arena, and which step sets the peak.

A buffer's need may change along the chain of views that share it (a pool in place shrinks), so two buffers are kept apart
only over the steps where both hold something, by as much as they hold then.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit import reference
from edgekit.cascade import Cascade, Slide, needs, row_bytes, run_rows
from edgekit.errors import BadConfig
from edgekit.graph import DTYPE_BYTES, NUMPY_DTYPES, Array, short
from edgekit.lag import PIXELS_TOGETHER, RULES
from edgekit.ops.conv import window_of
from edgekit.schedule import BufferView, Constant, KernelCall, Operand, Program

# Local search after the first-fit orders: at most this many rounds, each one first-fit over all buffers, and at most this
# many pairs of buffers looked at (large networks get fewer rounds).
SEARCH_ROUNDS, SEARCH_PAIRS = 400, 4_000_000


@dataclass(frozen=True)
class Peak:
    """What sets the peak. step: index into Program.steps (-1 before the first, len(steps) after the last);
    title: that step's op and source; tensors: (name, bytes) of everything alive there, largest first."""

    step: int
    title: str
    tensors: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        alive = " + ".join(f"{short(name)} {size:,} B" for name, size in self.tensors)
        return f"step {self.step} {self.title}: {alive}"


@dataclass(frozen=True)
class Plan:
    """offsets: buffer -> byte offset in the arena; peak: bytes of the arena; bound: no plan of this Program can be smaller."""

    offsets: Mapping[str, int]
    peak: int
    bound: int
    alignment: int
    who: Peak

    def address(self, view: BufferView) -> int:
        """Byte offset of a view in the arena."""
        return self.offsets[view.buffer] + view.offset


def plan(program: Program, *, alignment: int = 4) -> Plan:
    """Greedy by size with first fit, over several orders, then a seeded local search until the lower bound is met.

    alignment: of every buffer, in bytes; a multiple of 4. Raises BadConfig for another.
    """
    if alignment < 4 or alignment & (alignment - 1):
        raise BadConfig(f"cannot align buffers to {alignment} bytes", "use 4, 8 or 16")
    extents = {name: _round_up(need, alignment) for name, need in occupancy(program).items()}
    names = list(extents)
    if not names:
        return Plan({}, 0, 0, alignment, Peak(-1, "", ()))
    need = np.stack([extents[n] for n in names])
    bound = int(need.sum(axis=0).max())
    offsets, peak = _search(need, bound)
    return Plan(dict(zip(names, offsets, strict=True)), peak, bound, alignment, _who(program))


@dataclass
class _Life:
    """A view from the slot that writes it to the last that reads it. Slot 0 is before step 0, slot i + 1 is step i."""

    view: BufferView
    first: int
    last: int

    def until(self, slot: int) -> None:
        self.last = max(self.last, slot)


def occupancy(program: Program) -> dict[str, Array]:
    """buffer -> bytes it must hold, int64[len(steps) + 2]: before the first step, during each step, after the last.

    A view is alive from the step that writes it to the last that reads it; graph inputs from the start, outputs to the end.
    """
    need: dict[str, Array] = {}
    for life in _lives(program):
        row = need.setdefault(life.view.buffer, np.zeros(len(program.steps) + 2, np.int64))
        held = slice(life.first, life.last + 1)
        row[held] = np.maximum(row[held], life.view.offset + life.view.nbytes)
    return need


def _lives(program: Program) -> list[_Life]:
    """Everything that is in the arena at some time. A reshape is followed to the write whose bytes it reads."""
    end = len(program.steps) + 1
    lives: list[_Life] = []
    for name in (*program.graph.inputs, *(s.input for s in program.graph.states)):
        view = program.views[name]
        lives.append(_Life(view, 0, end if view.buffer in program.held else 0))
    for slot, step in enumerate(program.steps, 1):
        for operand in step.inputs:
            if isinstance(operand, BufferView):
                _last_write(lives, operand).until(slot)
        lives += [_Life(view, slot, slot) for view in (*step.outputs, step.scratch) if view is not None]
    for view in program.outputs.values():
        _last_write(lives, view).until(end)
    return lives


def _last_write(lives: Sequence[_Life], view: BufferView) -> _Life:
    """The latest write to the bytes that `view` reads."""
    for life in reversed(lives):
        if life.view.buffer == view.buffer and life.view.offset <= view.offset < life.view.offset + life.view.nbytes:
            return life
    raise ValueError(f"'{view.buffer}' is read before it is written")


def _round_up(need: Array, alignment: int) -> Array:
    return (need + alignment - 1) // alignment * alignment


def _search(need: Array, bound: int) -> tuple[list[int], int]:
    """Offsets of each row of need[buffers, slots], and the peak."""
    count = len(need)
    alive = need > 0
    # reach[a, b]: the most that a holds while b is alive.
    reach = [np.where(alive, row, 0).max(axis=1).tolist() for row in need]
    size = need.max(axis=1)
    length = alive.sum(axis=1)
    birth = alive.argmax(axis=1)
    crowd = np.where(alive, need.sum(axis=0), 0).max(axis=1)  # total need at the buffer's most crowded slot
    keys = [(-size, birth), (-size * length, birth), (-crowd, -size), (-length, -size), (birth, -size), (-crowd, -length)]
    best: tuple[int, list[int], list[int]] | None = None
    for major, minor in keys:
        order = sorted(range(count), key=lambda i: (int(major[i]), int(minor[i]), i))
        offsets, peak = _first_fit(order, reach, size)
        if best is None or peak < best[0]:
            best = peak, offsets, order
    assert best is not None
    chance = random.Random(0)
    for _ in range(min(SEARCH_ROUNDS, SEARCH_PAIRS // count**2) if count > 1 else 0):
        if best[0] == bound:
            break
        order = list(best[2])
        # Move a buffer that touches the peak to an earlier turn, or swap two at random.
        top = [i for i in range(count) if best[1][i] + size[i] == best[0]]
        moved = chance.choice(top) if chance.random() < 0.5 else chance.randrange(count)
        order.remove(moved)
        order.insert(chance.randrange(count), moved)
        offsets, peak = _first_fit(order, reach, size)
        if peak <= best[0]:
            best = peak, offsets, order
    return best[1], best[0]


def _first_fit(order: Sequence[int], reach: Sequence[Sequence[int]], size: Array) -> tuple[list[int], int]:
    """Each buffer in turn at the lowest offset where it meets none placed before."""
    offsets = [0] * len(order)
    placed: list[int] = []
    peak = 0
    for b in order:
        # b may not start in (offset_a - reach[b][a], offset_a + reach[a][b]).
        taken = sorted((offsets[a] - reach[b][a], offsets[a] + reach[a][b]) for a in placed if reach[a][b] and reach[b][a])
        at = 0
        for low, high in taken:
            if low < at < high:
                at = high
        offsets[b] = at
        placed.append(b)
        peak = max(peak, at + int(size[b]))
    return offsets, peak


def _who(program: Program) -> Peak:
    total = np.zeros(len(program.steps) + 2, np.int64)
    for row in occupancy(program).values():
        total += row
    slot = int(total.argmax())
    # Of views that share bytes (in place) only the largest counts.
    largest: dict[str, tuple[str, int]] = {}
    for life in _lives(program):
        size = life.view.offset + life.view.nbytes
        if life.first <= slot <= life.last and size > largest.get(life.view.buffer, ("", -1))[1]:
            largest[life.view.buffer] = (life.view.tensor, size)
    step = slot - 1
    title = "start" if step < 0 else "end" if step == len(program.steps) else program.steps[step].title
    return Peak(step, title, tuple(sorted(largest.values(), key=lambda pair: (-pair[1], pair[0]))))


def run_program(program: Program, feeds: Mapping[str, Array], layout: Plan | None = None) -> dict[str, Array]:
    """{output: array} from running every step on one flat byte arena at the planned offsets.

    Law: equals `reference.run(program.graph, feeds)`. A buffer that is written over too early changes the result.
    """
    layout = layout or plan(program)
    graph = program.graph
    arena = np.full(layout.peak, 0xA5, np.uint8)
    for name, array in reference.check_feeds(graph, feeds).items():
        _store(arena, layout, program.views[name], array)
    for state in graph.states:
        _store(arena, layout, program.views[state.input], state.init)
    for step in program.steps:
        if step.scratch is not None:
            at = layout.address(step.scratch)
            arena[at : at + step.scratch.nbytes] = 0x5A
        if step.cascade is not None:
            _run_cascade(program, step, step.cascade, arena, layout)
            continue
        if step.kernel in RULES and step.order != "any":
            _run_overlapping(program, step, arena, layout)
            continue
        for view, array in zip(step.outputs, _compute(program, step, arena, layout), strict=True):
            _store(arena, layout, view, array)
    return {name: _fetch(arena, layout, view, program) for name, view in program.outputs.items()}


def _run_overlapping(program: Program, step: KernelCall, arena: Array, layout: Plan) -> None:
    """Pixel by pixel, or in groups, as the kernel does: each reads what the ones before it have left of the input.

    A group reads its input again after its outputs are spoilt, the worst that its kernel may do.
    """
    assert step.node is not None
    unit, view, source = RULES[step.kernel].unit, step.outputs[0], step.inputs[0]
    width, channels = view.shape[2:]
    ahead = {"group": PIXELS_TOGETHER, "plane": width}.get(unit, 1)
    pixel, pixels = channels * DTYPE_BYTES[view.dtype], view.elements // channels
    starts = list(range(0, pixels, ahead))
    seen = _fetch(arena, layout, source, program)
    known = 0
    for start in reversed(starts) if step.order == "backward" else starts:
        at, end = layout.address(view) + start * pixel, min(start + ahead, pixels)
        if unit == "group":
            arena[at : layout.address(view) + end * pixel] = 0x5A
        now = _fetch(arena, layout, source, program)
        if unit == "plane":  # lines that were read before are not read again
            image, line = divmod(start // width, view.shape[1])
            until = image * now.shape[1] + min(now.shape[1], max(0, _window_end(program, step, line)))
            lines, fresh_lines = (a.reshape(-1, *a.shape[2:]) for a in (seen, now))
            lines[known:until] = fresh_lines[known:until]
            known, now = max(known, until), seen
        rows = [_output_row(program, step, arena, layout, row, now) for row in range(start // width, (end - 1) // width + 1)]
        made = np.concatenate(rows)[start - start // width * width :][: end - start]
        arena[at : at + made.nbytes] = made.reshape(-1).view(np.uint8)


def _run_cascade(program: Program, step: KernelCall, cascade: Cascade, arena: Array, layout: Plan) -> None:
    """Action by action, as the generated code does; what a window forgets is spoilt, and the kernels' scratch at each call."""
    graph = program.graph
    base = 0 if step.scratch is None else layout.address(step.scratch)
    whole = {o.tensor: o for o in (*step.inputs, *step.outputs) if isinstance(o, BufferView)}
    first = [0] * len(cascade.windows)

    def rows_at(name: str, row: int) -> int:
        k = cascade.window(name)
        if k is None:
            return layout.address(whole[name]) + row * row_bytes(graph[name])
        assert 0 <= row - first[k] < cascade.windows[k].capacity
        return base + cascade.windows[k].offset + (row - first[k]) * cascade.windows[k].row

    for action in cascade.actions:
        if isinstance(action, Slide):
            window = cascade.windows[action.window]
            at, kept, lost = base + window.offset, action.keep * window.row, action.drop * window.row
            arena[at : at + kept] = arena[at + lost : at + lost + kept].copy()
            arena[at + kept : at + lost + kept] = 0x5A
            first[action.window] += action.drop
            continue
        arena[base : base + cascade.work] = 0x5A
        node = cascade.stages[action.stage].node
        low, high = needs(graph, node, action.first, action.count)
        strips: dict[str, Array] = {}
        for name in dict.fromkeys(n for n in node.inputs if n is not None and not graph[n].is_const):
            tensor, size = graph[name], row_bytes(graph[name])
            held = [arena[rows_at(name, r) : rows_at(name, r) + size] for r in range(low, high)]
            data = np.concatenate([*held, np.zeros(0, np.uint8)]).view(NUMPY_DTYPES[tensor.dtype])
            strips[name] = data.reshape(1, high - low, *tensor.shape[2:])
        made = run_rows(graph, node, strips, action.first, action.count)
        at = rows_at(node.outputs[0], action.first)
        arena[at : at + made.nbytes] = np.ascontiguousarray(made).reshape(-1).view(np.uint8)


def _window_end(program: Program, step: KernelCall, line: int) -> int:
    """The first input row below the window of the output's row `line` of an image."""
    assert step.node is not None
    win = window_of(step.node, program.graph[step.node.inputs[1] or ""].shape)
    return line * win.stride[0] - win.pad[0] + (win.kernel[0] - 1) * win.dilation[0] + 1


def _output_row(program: Program, step: KernelCall, arena: Array, layout: Plan, row: int, data: Array) -> Array:
    """Row `row` of the step's output (counted through the batch), [columns, channels], from `data` as its first input."""
    node, graph = step.node, program.graph
    assert node is not None
    x, w, y = graph[node.inputs[0] or ""], graph[node.inputs[1] or ""], graph[node.outputs[0]]
    arrays = [None if o is None else _fetch(arena, layout, o, program) for o in step.inputs[1:]]
    image, line = divmod(row, y.shape[1])
    win = window_of(node, w.shape)
    top = line * win.stride[0] - win.pad[0]
    bottom = _window_end(program, step, line)
    low, high = min(max(top, 0), x.shape[1] - 1), max(min(bottom, x.shape[1]), 1)
    strip = data[image : image + 1, low:high]
    pad = (max(0, -top), max(0, bottom - x.shape[1]), *win.pad[2:])
    if top >= x.shape[1] or bottom <= 0:  # nothing but padding: any row, pushed below the window
        pad = (bottom - top, 0, *win.pad[2:])
    cut = replace(node, attrs={**node.attrs, "pad": pad, "stride": (10**6, win.stride[1])})
    tensors = {**graph.tensors, x.name: replace(x, shape=strip.shape), y.name: replace(y, shape=(1, 1, *y.shape[2:]))}
    values = {n: a for n, a in zip(node.inputs[1:], arrays, strict=True) if n is not None and a is not None}
    made: Array = reference.run_node(replace(graph, tensors=tensors), cut, {**values, x.name: strip})[0][0, 0]
    return made


def _compute(program: Program, step: KernelCall, arena: Array, layout: Plan) -> list[Array]:
    arrays = [None if o is None else _fetch(arena, layout, o, program) for o in step.inputs]
    if step.node is None:
        return [a for a in arrays if a is not None]
    values = {name: a for name, a in zip(step.node.inputs, arrays, strict=True) if name is not None and a is not None}
    return reference.run_node(program.graph, step.node, values)


def _fetch(arena: Array, layout: Plan, operand: Operand, program: Program) -> Array:
    """A copy of the operand's values. Whole tensors only: rows and rings have no runner yet."""
    if isinstance(operand, Constant):
        data = program.graph[operand.tensor].data
        assert data is not None
        return data
    assert operand is not None
    assert operand.rows is None
    assert operand.ring is None
    at = layout.address(operand)
    return arena[at : at + operand.nbytes].copy().view(NUMPY_DTYPES[operand.dtype]).reshape(operand.shape)


def _store(arena: Array, layout: Plan, view: BufferView, array: Array) -> None:
    at = layout.address(view)
    arena[at : at + view.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
