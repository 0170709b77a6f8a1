"""Several layers run together, a few rows at a time: a tensor between them is never whole.

Each layer makes its next rows as soon as the rows they read are there, the last layer that can run first, so that rows are
used up soon. What a later layer still reads stays in a window of rows, moved down when the next rows have no room; nothing
is computed twice. The order of calls and the sizes of windows are found by playing it through once (`cascade_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit.dsp import lines_scratch
from edgekit.graph import DTYPE_BYTES, Array, Graph, Node, Tensor
from edgekit.kernel_choice import ELEMENTWISE, POOLS
from edgekit.lag import OFFSET_MULTIPLE
from edgekit.ops import TABLE, attr
from edgekit.reference import run_node

# Kernels that can make a few rows of their output. Those that slide a window take the image's part that is there; pointwise
# ones a number of elements; the others walk two arrays, a row a call.
WINDOWED = frozenset(
    "conv_s8 depthwise_s8 depthwise_multiplier_s8 conv_dsp_s8 depthwise_dsp_s8 average_pool_2d_s8 max_pool_2d_s8 "
    "conv_mve_s8 depthwise_mve_s8 average_pool_2d_mve_s8 conv_f32 depthwise_f32 average_pool_2d_f32 max_pool_2d_f32 "
    "conv_s4 conv_dsp_s4".split()
)
POINTWISE = frozenset(
    "conv_1x1_s8 conv_1x1_dsp_s8 conv_1x1_mve_s8 add_dsp_s8 add_mve_s8 table_s8 requantize_s8 quantize_f32_s8 "
    "dequantize_s8_f32 batch_norm_f32 relu_f32 relu6_f32 relu_n1_to_1_f32 leaky_relu_f32 elu_f32 logistic_f32 tanh_f32 "
    "hard_swish_f32 hard_sigmoid_f32 conv_1x1_s4 conv_1x1_dsp_s4".split()
)
WALKED = frozenset(
    "add_s8 sub_s8 mul_s8 maximum_s8 minimum_s8 prelu_s8 add_f32 sub_f32 mul_f32 div_f32 maximum_f32 minimum_f32 prelu_f32 "
    "move_s8 move_f32".split()
)
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_NORM"})
_SLIDING = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", *POOLS})
# Windows begin at multiples of this within the cascade's scratch, so that kernels may read words.
ALIGNMENT = 4
# The most that a byte of the emitted order of calls can say.
MOST_STAGES, MOST_DROPPED = 127, 255


@dataclass(frozen=True)
class Run:
    """A call: `stage` makes its output rows first..first + count."""

    stage: int
    first: int
    count: int


@dataclass(frozen=True)
class Slide:
    """The window forgets its `drop` first rows; the `keep` others move to its start."""

    window: int
    drop: int
    keep: int


@dataclass(frozen=True)
class Window:
    """Rows of `tensors` (the later ones are written over the first, row by row), one after another.

    offset: bytes from the start of the cascade's scratch; capacity: rows; row: bytes of one.
    """

    tensors: tuple[str, ...]
    offset: int
    capacity: int
    row: int


@dataclass(frozen=True)
class Stage:
    """One layer: its node, kernel, and how many output rows a call makes."""

    node: Node
    kernel: str
    rows: int

    @property
    def output(self) -> str:
        return self.node.outputs[0]


@dataclass(frozen=True)
class Cascade:
    """inputs, outputs: whole tensors it reads and makes. actions: in order. work: bytes of scratch that kernels need, at
    the start of the cascade's own `scratch` bytes; the windows follow. lags: (input, output) -> how many bytes before the
    input the output must begin when it takes its place. extra: estimated instructions more than layer by layer."""

    stages: tuple[Stage, ...]
    windows: tuple[Window, ...]
    actions: tuple[Run | Slide, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    work: int
    scratch: int
    lags: Mapping[tuple[str, str], int]
    extra: int

    def window(self, tensor: str) -> int | None:
        """Index of the window that holds the tensor; None for a whole one."""
        return next((i for i, w in enumerate(self.windows) if tensor in w.tensors), None)

    def stage_of(self, tensor: str) -> int | None:
        """Index of the stage that makes the tensor."""
        return next((i for i, s in enumerate(self.stages) if s.output == tensor), None)

    @property
    def node(self) -> Node:
        """What stands for it among the network's nodes."""
        constants = dict.fromkeys(n for s in self.stages for n in s.node.inputs if n is not None)
        made = {s.output for s in self.stages}
        others = tuple(n for n in constants if n not in made and n not in self.inputs)
        first, last = self.stages[0].node.source, self.stages[-1].node.source
        return Node("CASCADE", (*self.inputs, *others), self.outputs, {}, f"{first} .. {last}")


def takes(graph: Graph, node: Node, kernel: str) -> bool:
    """True when the kernel can make a few rows of this node's output at a time."""
    if len(node.outputs) != 1 or kernel not in WINDOWED | POINTWISE | WALKED:
        return False
    y = graph[node.outputs[0]]
    if len(y.shape) != 4 or y.shape[0] != 1 or not y.elements:
        return False
    if kernel in WALKED and node.op == "CONCATENATION" and node.attrs["axis"] != 3:
        return False
    if kernel.startswith("move_") and node.op != "CONCATENATION":
        return False
    ins = [(i, t) for i, t in enumerate(graph.input_tensors(node)) if t is not None]
    return any(not t.is_const for _, t in ins) and all(_row_by_row(t, y, node, i) for i, t in ins)


def _row_by_row(x: Tensor, y: Tensor, node: Node, index: int) -> bool:
    if index > 0 and node.op in _WEIGHTED:
        return x.is_const
    if x.is_const:  # the same for each row
        return len(x.shape) < 3 or x.shape[-3] == 1
    if len(x.shape) != 4 or x.shape[0] != 1:
        return False
    return x.shape[1] == y.shape[1] or node.op in _SLIDING


def needs(graph: Graph, node: Node, first: int, count: int) -> tuple[int, int]:
    """(first, end) of the rows of its moving inputs that `count` output rows from `first` read, within the image."""
    return _within(*_span(graph, node), first, count)


def _span(graph: Graph, node: Node) -> tuple[int, int, int, int]:
    """`geometry`, and the rows of the moving inputs."""
    height = next(t.shape[1] for t in graph.input_tensors(node) if t is not None and not t.is_const)
    return *geometry(graph, node), height


def _within(stride: int, pad: int, reach: int, height: int, first: int, count: int) -> tuple[int, int]:
    low = min(max(first * stride - pad, 0), height)
    return low, max(low, min(height, (first + count - 1) * stride - pad + reach))


def geometry(graph: Graph, node: Node) -> tuple[int, int, int]:
    """(stride, rows of padding above, rows from the first to behind the last that one output row reads)."""
    if node.op not in _SLIDING:
        return 1, 0, 1
    entry = TABLE[node.op]
    stride, pad = attr(node, entry, "stride")[0], attr(node, entry, "pad")[0]
    if node.op in POOLS:
        return stride, pad, attr(node, entry, "filter")[0]
    return stride, pad, (graph[node.inputs[1] or ""].shape[1] - 1) * attr(node, entry, "dilation")[0] + 1


def row_bytes(tensor: Tensor) -> int:
    return tensor.shape[2] * tensor.shape[3] * DTYPE_BYTES[tensor.dtype]


def cascade_of(
    graph: Graph, kernels: Sequence[tuple[str, int]], first: int, last: int, rows: Sequence[int], slack: int
) -> Cascade:
    """Nodes first..last, at most MOST_STAGES that `takes` accepts, as a cascade.

    kernels: (name, scratch bytes) of every node. rows: output rows of a call, a node of the cascade each. slack: rows that a
    window has more than it must, so that it is moved less often.
    """
    nodes = graph.nodes[first : last + 1]
    stages = tuple(Stage(n, kernels[first + i][0], rows[i]) for i, n in enumerate(nodes))
    later = {n for node in graph.nodes[last + 1 :] for n in node.inputs if n}
    play = _Play(graph, stages, later | {*graph.outputs, *(s.output for s in graph.states)})
    capacities = [min(n + slack, h) for n, h in zip(play.capacities(), play.heights, strict=True)]
    work = max(_scratch(graph, graph.nodes[i], *kernels[i]) for i in range(first, last + 1))
    work = -(-work // ALIGNMENT) * ALIGNMENT
    at, windows = work, []
    for family, capacity in zip(play.families, capacities, strict=True):
        windows.append(Window(family, at, capacity, row_bytes(graph[family[0]])))
        at += -(-capacity * windows[-1].row // ALIGNMENT) * ALIGNMENT
    actions = play.actions(capacities)
    extra = sum(
        _move_cost(windows[a.window], a) if isinstance(a, Slide) else _call_cost(graph, stages[a.stage], a) for a in actions
    )
    return Cascade(stages, tuple(windows), actions, play.inputs, play.outputs, work, at, play.lags(), extra)


class _Play:
    """The cascade played through: which stage runs when, from counts of rows alone."""

    def __init__(self, graph: Graph, stages: Sequence[Stage], read_later: set[str]) -> None:
        self.graph, self.stages = graph, stages
        self.spans = [_span(graph, s.node) for s in stages]
        self.maker = {s.output: i for i, s in enumerate(stages)}
        self.reads = [tuple(dict.fromkeys(n for n in s.node.inputs if n is not None and not graph[n].is_const)) for s in stages]
        self.makers = [[self.maker[n] for n in names if n in self.maker] for names in self.reads]
        self.readers: dict[str, list[int]] = {}
        for i, names in enumerate(self.reads):
            for name in names:
                self.readers.setdefault(name, []).append(i)
        self.inputs = tuple(dict.fromkeys(n for names in self.reads for n in names if n not in self.maker))
        self.outputs = tuple(n for n in self.maker if n in read_later or n not in self.readers)
        self.height = [graph[s.output].shape[1] for s in stages]
        self.families: list[tuple[str, ...]] = []
        for i, stage in enumerate(stages):
            if stage.output in self.outputs:
                continue
            under = self._under(i)
            home = next((k for k, f in enumerate(self.families) if f[-1] == under), None)
            if home is None:
                self.families.append((stage.output,))
            else:
                self.families[home] = (*self.families[home], stage.output)
        self.heights = [graph[f[0]].shape[1] for f in self.families]
        self.order = self._order()

    def _under(self, i: int) -> str | None:
        """The tensor whose rows stage i writes over: one that nobody else reads, of the same size."""
        node, y = self.stages[i].node, self.graph[self.stages[i].output]
        if node.op not in ELEMENTWISE:
            return None
        for name in self.reads[i]:
            x = self.graph[name]
            alone = self.readers[name] == [i] and name in self.maker and name not in self.outputs
            if alone and x.shape == y.shape and DTYPE_BYTES[x.dtype] == DTYPE_BYTES[y.dtype]:
                return name
        return None

    def _order(self) -> list[Run]:
        """The last stage that has what its next call reads, until all are done."""
        made = [0] * len(self.stages)
        found: list[Run] = []
        while True:
            for i in reversed(range(len(self.stages))):
                stage, left = self.stages[i], self.height[i] - made[i]
                count = min(stage.rows, left)
                if left and self._ready(i, made, count):
                    found.append(Run(i, made[i], count))
                    made[i] += count
                    break
            else:
                return found

    def _ready(self, reader: int, made: Sequence[int], count: int) -> bool:
        end = _within(*self.spans[reader], made[reader], count)[1]
        return all(made[maker] >= end for maker in self.makers[reader])

    def _needed(self, names: Sequence[str], made: Sequence[int]) -> int | None:
        """The first row of these tensors that a stage has still to read; None when none has."""
        lows = [
            _within(*self.spans[i], made[i], 1)[0]
            for name in names
            for i in self.readers.get(name, ())
            if made[i] < self.height[i]
        ]
        return min(lows) if lows else None

    def _fills(self) -> dict[int, int]:
        """Stage that brings new rows -> its window."""
        return {self.maker[family[0]]: k for k, family in enumerate(self.families)}

    def capacities(self) -> list[int]:
        """The least rows of each window."""
        made, fills, least = [0] * len(self.stages), self._fills(), [0] * len(self.families)
        for run in self.order:
            if run.stage in fills:
                k = fills[run.stage]
                low = self._needed(self.families[k], made)
                end = run.first + run.count
                least[k] = max(least[k], end - (run.first if low is None else min(low, run.first)))
            made[run.stage] += run.count
        return least

    def actions(self, capacities: Sequence[int]) -> tuple[Run | Slide, ...]:
        made, fills, first = [0] * len(self.stages), self._fills(), [0] * len(self.families)
        found: list[Run | Slide] = []
        for run in self.order:
            k = fills.get(run.stage)
            if k is not None and run.first + run.count - first[k] > capacities[k]:
                low = self._needed(self.families[k], made)
                keep_from = run.first if low is None else min(low, run.first)
                while first[k] < keep_from:
                    drop = min(keep_from - first[k], MOST_DROPPED)
                    first[k] += drop
                    found.append(Slide(k, drop, run.first - first[k]))
            found.append(run)
            made[run.stage] += run.count
        return tuple(found)

    def lags(self) -> dict[tuple[str, str], int]:
        """For each whole input and output: the output's rows that are written must end before the input's that are still to
        be read begin."""
        found: dict[tuple[str, str], int] = {}
        for x in self.inputs:
            for y in self.outputs:
                made, lag = [0] * len(self.stages), 0
                for run in self.order:
                    low = self._needed((x,), made)
                    if self.stages[run.stage].output == y and low is not None:
                        end = (run.first + run.count) * row_bytes(self.graph[y])
                        lag = max(lag, end - low * row_bytes(self.graph[x]))
                    made[run.stage] += run.count
                found[x, y] = -(-lag // OFFSET_MULTIPLE) * OFFSET_MULTIPLE
        return found


def _scratch(graph: Graph, node: Node, kernel: str, nbytes: int) -> int:
    """Scratch of a stage's kernel; planes that would be walked down their columns are walked along their rows here."""
    if kernel != "depthwise_dsp_s8":
        return nbytes
    return lines_scratch(graph[node.outputs[0]].shape[2], geometry(graph, node)[0])


def _call_cost(graph: Graph, stage: Stage, run: Run) -> int:
    """Instructions of one call that running the layer as a whole would not have; from counts on a Cortex-M4."""
    y, cost = graph[stage.output], 90
    if stage.kernel in WALKED:
        cost += 40 * run.count
    if stage.kernel == "depthwise_dsp_s8":
        stride, _, reach = geometry(graph, stage.node)
        again = max(0, reach - stride) * (5 * graph[stage.node.inputs[0] or ""].shape[2] // 2 + 30)
        cost += y.shape[3] * (again + 60)
    return cost


def _move_cost(window: Window, slide: Slide) -> int:
    return 30 + slide.keep * window.row // 2


def run_rows(graph: Graph, node: Node, strips: Mapping[str, Array], first: int, count: int) -> Array:
    """Output rows first..first + count, [1, count, W, C], from the rows of each moving input that `needs` names."""
    y, attrs, values = graph[node.outputs[0]], dict(node.attrs), dict(strips)
    if node.op in _SLIDING:
        name = next(n for n in node.inputs if n is not None)
        stride, pad, reach = geometry(graph, node)
        low, high = needs(graph, node, first, count)
        top, bottom = first * stride - pad, (first + count - 1) * stride - pad + reach
        if low == high:  # nothing but padding: any row, pushed out of the windows
            values[name] = np.zeros((1, 1, *graph[name].shape[2:]), strips[name].dtype)
            above, below = bottom - top, 0
        else:
            above, below = max(0, low - top), max(0, bottom - high)
        attrs["pad"] = (above, below, *attr(node, TABLE[node.op], "pad")[2:])
    cut = {n: replace(graph[n], shape=a.shape) for n, a in values.items()}
    out = replace(y, shape=(1, count, *y.shape[2:]))
    small = replace(graph, tensors={**graph.tensors, **cut, y.name: out})
    rows: Array = run_node(small, replace(node, attrs=attrs), values)[0]
    return rows
