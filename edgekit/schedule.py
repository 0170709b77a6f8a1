"""Graph -> Program: kernel calls in order, each operand a view of a buffer or a constant.

A Program says *what* runs and *which bytes may be shared*; `edgekit.memory` says where the bytes lie. Reshapes are views,
elementwise kernels and unpadded pools write over an operand that dies with them, convolutions write over it at a distance
(`edgekit.lag`), everything else gets its own buffer. Layers that would hold too much run a few rows at a time
(`edgekit.cascade`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgekit.cascade import Cascade, cascade_of
from edgekit.graph import DTYPE_BYTES, Graph, Node, Shape, Tensor, fresh
from edgekit.inplace import Move, choose, offsets
from edgekit.kernel_choice import ELEMENTWISE, POOLS, SUFFIX, kernels_of
from edgekit.lag import RULES, Order, lags
from edgekit.ops import TABLE, attr
from edgekit.order import branches, lean_order
from edgekit.passes.dead_channels import drop_dead_channels


@dataclass(frozen=True)
class BufferView:
    """Part of a buffer that holds `tensor` (or scratch of that name). `offset` in bytes from the buffer's start.

    rows: (first, count) of the rows (axis 1 of a rank-4 tensor) that are held; None: all of them.
    ring: row r lies in slot r % ring; None: rows lie one after another.
    """

    tensor: str
    buffer: str
    offset: int
    shape: Shape
    dtype: str
    rows: tuple[int, int] | None = None
    ring: int | None = None

    @property
    def elements(self) -> int:
        """Numbers in the whole tensor."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes from `offset` that the view may touch."""
        size = DTYPE_BYTES[self.dtype] * self.elements
        if self.rows is None and self.ring is None:
            return size
        held = self.ring if self.ring is not None else self.rows[1] if self.rows is not None else self.shape[1]
        return size // max(self.shape[1], 1) * held


@dataclass(frozen=True)
class Constant:
    """An operand that is a constant of the graph."""

    tensor: str


Operand = BufferView | Constant | None


@dataclass(frozen=True)
class Segment:
    """Nodes first..last of a graph, to run as a cascade (see `edgekit.cascade`). rows: output rows of a call, a node each;
    slack: rows that its windows have more than they must."""

    first: int
    last: int
    rows: tuple[int, ...]
    slack: int = 0


@dataclass(frozen=True)
class KernelCall:
    """One kernel run. `kernel` names it ("conv_1x1_s8"); `node` is None for a plain copy into an output.

    inputs, outputs: operands in the node's order; scratch: working memory that lives for this step only.
    order: how the output's pixels are made when its bytes overlap the first input's (see `edgekit.lag`); "any" else.
    rows: (first, count) of the output rows (axis 1) computed by this call; None: all. cascade: the layers of the kernel
    "cascade", which share `scratch`.
    """

    kernel: str
    inputs: tuple[Operand, ...]
    outputs: tuple[BufferView, ...]
    node: Node | None
    scratch: BufferView | None = None
    rows: tuple[int, int] | None = None
    order: Order = "any"
    cascade: Cascade | None = None

    @property
    def operands(self) -> tuple[Operand, ...]:
        return (*self.inputs, *self.outputs)

    @property
    def title(self) -> str:
        """Op and source, for messages and comments."""
        if self.node is None:
            return "COPY"
        return self.node.source if self.node.op in self.node.source else f"{self.node.op} {self.node.source}".strip()


@dataclass(frozen=True)
class Program:
    """Kernel calls in order.

    graph: what the steps compute, the network without its dead channels; source: the network as it was given.
    views: where each tensor of the graph lies (constants and unread values absent); outputs: where each output lies after
    the last step; roots: tensor -> the tensor whose bytes it is (itself, unless it is a reshape); held: buffers that keep
    their bytes from before the first step to after the last (const inputs, states).
    """

    graph: Graph
    source: Graph
    steps: tuple[KernelCall, ...]
    views: Mapping[str, BufferView]
    outputs: Mapping[str, BufferView]
    roots: Mapping[str, str]
    held: frozenset[str] = frozenset()

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Constants that a kernel reads, in order of first use."""
        names = [o.tensor for step in self.steps for o in step.inputs if isinstance(o, Constant)]
        return tuple(self.graph[n] for n in dict.fromkeys(names))

    @property
    def layers(self) -> tuple[tuple[str, str], ...]:
        """(operator, source) of each layer in the order of their first calls: a step, or a stage of a cascade."""
        found: list[tuple[str, str]] = []
        for step in self.steps:
            nodes = [step.node] if step.cascade is None else [stage.node for stage in step.cascade.stages]
            found += [("COPY", "") if node is None else (node.op, node.source) for node in nodes]
        return tuple(found)


def schedule(
    graph: Graph,
    *,
    in_place: bool = True,
    const_input: bool = False,
    dead_channels: bool = False,
    isa: str = "plain",
    cascades: Sequence[Segment] = (),
) -> Program:
    """The Program of a Graph whose shapes are all known. Raises Unsupported, listing every node without a kernel.

    in_place: let outputs take the place of operands that die. const_input: inputs keep their values. dead_channels: compute
    channels that no input can change, too. cascades: layers to run a few rows at a time, apart from one another, in order;
    positions are those of the graph without its dead channels.
    """
    source, graph = graph, graph if dead_channels else drop_dead_channels(graph)
    layout = share(graph, kernels_of(graph, isa), in_place, const_input, cascades)
    if in_place and branches(graph) and not cascades:
        named = zip(graph.nodes, layout.kernels, strict=True)
        merges = [node.op in ELEMENTWISE | POOLS or kernel in RULES for node, (kernel, _) in named]
        lean = lean_order(graph, layout.root, merges)
        other = share(lean, kernels_of(lean, isa), in_place, const_input)
        layout = min(layout, other, key=lambda found: found.crowd[0])
    graph, kernels, root, moves = layout.graph, layout.kernels, layout.root, layout.moves
    heads, at = offsets(moves.values())
    views: dict[str, BufferView] = {}
    steps: list[KernelCall] = []

    def place(name: str) -> None:
        head = root[name]
        views[name] = BufferView(name, heads.get(head, head), at.get(head, 0), graph[name].shape, graph[name].dtype)

    for name in (*graph.inputs, *(s.input for s in graph.states)):
        place(name)
    for position, node in enumerate(graph.nodes):
        kernel, scratch = kernels[position]
        for name in node.outputs:
            place(name)
        if is_view(graph, node) and root[node.outputs[0]] != node.outputs[0]:
            continue
        work = _scratch(graph, position, scratch) if scratch else None
        inputs = tuple(None if n is None else Constant(n) if graph[n].is_const else views[n] for n in node.inputs)
        order: Order = moves[position].order if position in moves else "any"
        made_of = tuple(views[n] for n in node.outputs)
        steps.append(KernelCall(kernel, inputs, made_of, node, work, order=order, cascade=layout.cascades.get(position)))
    graph = replace(graph, nodes=layout.nodes)
    made, copies = _outputs(graph, views, root)
    copies += _carried(graph, views, root)
    kept = [*(graph.inputs if const_input else ()), *(s.input for s in graph.states)]
    return Program(graph, source, (*steps, *copies), views, made, root, frozenset(views[n].buffer for n in kept))


@dataclass(frozen=True)
class Sharing:
    """A graph in one order of its nodes (each cascade one node; `nodes`: without that): their kernels and scratch, whose bytes
    each value is, when it is last read, who writes over what, how full memory gets, and the cascades by position."""

    graph: Graph
    nodes: tuple[Node, ...]
    kernels: list[tuple[str, int]]
    root: dict[str, str]
    last: dict[str, int]
    moves: dict[int, Move]
    crowd: tuple[int, float]
    cascades: dict[int, Cascade]


def share(
    graph: Graph,
    kernels: Sequence[tuple[str, int]],
    in_place: bool = True,
    const_input: bool = False,
    segments: Sequence[Segment] = (),
    built: Mapping[Segment, Cascade] | None = None,
) -> Sharing:
    """Which bytes may be shared. kernels: of the graph's nodes (`kernel_choice.kernels_of`); built: the cascades of these
    segments, where they are known."""
    nodes, kernels = graph.nodes, list(kernels)
    cascades: dict[int, Cascade] = {}
    for segment in reversed(segments):
        known = built.get(segment) if built else None
        cascade = known or cascade_of(graph, kernels, segment.first, segment.last, segment.rows, segment.slack)
        behind = graph.nodes[segment.last + 1 :]
        graph = replace(graph, nodes=(*graph.nodes[: segment.first], cascade.node, *behind))
        kernels[segment.first : segment.last + 1] = [("cascade", cascade.scratch)]
        cascades = {segment.first: cascade} | {i - segment.last + segment.first: c for i, c in cascades.items()}
    root = _aliases(graph)
    last = _last_reads(graph, root, const_input)
    ways = {}
    for i in range(len(graph.nodes)) if in_place else ():
        found_ways = (
            _over_cascade(graph, i, cascades[i], root, last) if i in cascades else _ways(graph, i, kernels[i][0], root, last)
        )
        if found_ways:
            ways[i] = found_ways
    crowd, moves = choose(graph, root, last, ways, [scratch for _, scratch in kernels])
    return Sharing(graph, nodes, kernels, root, last, moves, crowd, cascades)


def _over_cascade(
    graph: Graph, position: int, cascade: Cascade, root: Mapping[str, str], last: Mapping[str, int]
) -> list[Move]:
    """The inputs of a cascade that its first output may take the place of: rows are written over rows that were read."""
    y = graph[cascade.outputs[0]]
    found = []
    for name in cascade.inputs:
        alike = DTYPE_BYTES[graph[name].dtype] == DTYPE_BYTES[y.dtype]
        shared = any(n != name and root[n] == root[name] for n in cascade.inputs)
        if alike and not shared and last.get(root[name]) == position and not graph[name].is_const:
            found.append(Move(root[name], y.name, "forward", cascade.lags[name, y.name]))
    return found


def _scratch(graph: Graph, position: int, nbytes: int) -> BufferView:
    name = fresh(graph.tensors, f"scratch {position}")
    return BufferView(name, name, 0, (nbytes,), "int8")


def is_view(graph: Graph, node: Node) -> bool:
    """True when the node moves no byte: RESHAPE, and TRANSPOSE that only moves axes of size 1."""
    if node.op == "RESHAPE":
        return True
    if node.op == "TRANSPOSE":
        shape = graph[node.inputs[0] or ""].shape
        kept = [axis for axis in node.attrs["perm"] if shape[axis] != 1]
        return kept == sorted(kept)
    return False


def _aliases(graph: Graph) -> dict[str, str]:
    """tensor -> the tensor whose bytes it is. A view of a constant is copied, so it is its own."""
    root = {name: name for name in graph.tensors}
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else None
        if source is not None and is_view(graph, node) and not graph[source].is_const:
            root[node.outputs[0]] = root[source]
    return root | _in_states(graph, root)


def _in_states(graph: Graph, root: Mapping[str, str]) -> dict[str, str]:
    """Values that are made where the state lies that they become: when what it held before is read by then. A recurrent
    kernel writes a state over the one that it starts from."""
    maker = {name: (position, node) for position, node in enumerate(graph.nodes) for name in node.outputs}
    shown = {root[n] for n in graph.outputs}
    ends = [root[s.output] for s in graph.states]
    found: dict[str, str] = {}
    for state in graph.states:
        value = root[state.output]
        # What is shown after the run, or becomes another state, keeps its bytes until it has been copied.
        if value not in maker or {value, state.input} & shown or ends.count(value) > 1 or state.input in ends:
            continue
        made, node = maker[value]
        reads = [
            i for i, other in enumerate(graph.nodes) if any(n is not None and root[n] == state.input for n in other.inputs)
        ]
        entry = TABLE[node.op].recurrent if node.op in TABLE else None
        ties = () if entry is None else [(first, last) for first, last, _ in entry.ties]
        over = [first for first, last in ties if node.outputs[last] == value]
        places = [i for i, n in enumerate(node.inputs) if n is not None and root[n] == state.input]
        if all(i < made or (i == made and places == over) or _is_only_view(graph, i, root) for i in reads):
            found |= {name: state.input for name, head in root.items() if head == value}
    return found


def _is_only_view(graph: Graph, position: int, root: Mapping[str, str]) -> bool:
    node = graph.nodes[position]
    return is_view(graph, node) and root[node.outputs[0]] != node.outputs[0]


def _last_reads(graph: Graph, root: Mapping[str, str], const_input: bool) -> dict[str, int]:
    """root -> position of the last node that reads any of its views; after the end for outputs."""
    last: dict[str, int] = {}
    for position, node in enumerate(graph.nodes):
        for name in node.inputs:
            if name is not None and root[node.outputs[0]] != root[name]:
                last[root[name]] = position
    last |= {root[name]: len(graph.nodes) for name in graph.outputs}
    if const_input:
        last |= {name: len(graph.nodes) for name in graph.inputs}
    last |= {root[name]: len(graph.nodes) for s in graph.states for name in (s.input, s.output)}
    return last


def _ways(graph: Graph, position: int, kernel: str, root: Mapping[str, str], last: Mapping[str, int]) -> list[Move]:
    """The ways in which the node's output may lie over an operand that dies in this step; the first is the likely best."""
    node = graph.nodes[position]
    target = graph[node.outputs[0]]
    if root[target.name] != target.name:
        return []
    pool = node.op in POOLS and not any(attr(node, TABLE[node.op], "pad"))
    found: list[Move] = []
    for name in dict.fromkeys(n for n in node.inputs if n is not None):
        tensor = graph[name]
        if tensor.is_const or last.get(root[name]) != position or DTYPE_BYTES[tensor.dtype] != DTYPE_BYTES[target.dtype]:
            continue
        if any(n is not None and n != name and root[n] == root[name] for n in node.inputs):
            continue
        # Another operand that is broadcast would be read again after its first bytes were written over.
        if pool or (node.op in ELEMENTWISE and tensor.shape == target.shape):
            found.append(Move(root[name], target.name, "same", 0))
        elif name == node.inputs[0]:
            found += [Move(root[name], target.name, order, lag) for order, lag in lags(graph, node, kernel)]
    return found


def _outputs(
    graph: Graph, views: Mapping[str, BufferView], root: Mapping[str, str]
) -> tuple[dict[str, BufferView], list[KernelCall]]:
    """Every output its own bytes: one that is an input, a constant, or a second view of the same bytes is copied."""
    placed: dict[str, BufferView] = {}
    copies: list[KernelCall] = []
    taken = {root[n] for n in (*graph.inputs, *(s.input for s in graph.states))}
    for name in dict.fromkeys(graph.outputs):
        tensor = graph[name]
        if root[name] not in taken and not tensor.is_const:
            taken.add(root[name])
            placed[name] = views[name]
            continue
        source: Operand = Constant(name) if tensor.is_const else views[name]
        placed[name] = BufferView(name, fresh(graph.tensors, f"output {name}"), 0, tensor.shape, tensor.dtype)
        copies.append(KernelCall(f"copy_{SUFFIX[tensor.dtype]}", (source,), (placed[name],), None))
    return placed, copies


def _carried(graph: Graph, views: Mapping[str, BufferView], root: Mapping[str, str]) -> list[KernelCall]:
    """Copies of what states hold after the run into what they hold before the next. One that is (a view of) a state itself is
    taken aside first: another copy may write over it."""
    aside: list[KernelCall] = []
    copies: list[KernelCall] = []
    owned = {s.input for s in graph.states}
    for state in graph.states:
        tensor = graph[state.output]
        if root[state.output] == state.input:
            continue  # keeps its value
        kernel = f"copy_{SUFFIX[tensor.dtype]}"
        source: Operand = Constant(tensor.name) if tensor.is_const else views[tensor.name]
        if root[state.output] in owned:
            spare = BufferView(tensor.name, fresh(graph.tensors, f"state {state.output}"), 0, tensor.shape, tensor.dtype)
            aside.append(KernelCall(kernel, (source,), (spare,), None))
            source = spare
        copies.append(KernelCall(kernel, (source,), (views[state.input],), None))
    return [*aside, *copies]
