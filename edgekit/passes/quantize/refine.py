"""Refine: weights rounded up or down, and biases moved, so that each layer gives what the float layer gave.

Layers are taken in order, each fed what the integer network before it (refined already) makes of the calibration samples.
Rounding minimises E|Wq xq - W x|^2 over the two neighbours of every weight (the objective of Nagel et al. 2020, Up or Down?
Adaptive Rounding for Post-Training Quantization, eq. 21) by coordinate descent from the nearest values: the error of no layer
rises. Bias correction adds E[W x + b] - E[Wq xq + bq] (Nagel et al. 2019, Data-Free Quantization, sec. 4.2, empirical).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from edgekit import fixedpoint, reference
from edgekit.boundary import to_feeds
from edgekit.errors import BadData, BadModel, EdgekitError
from edgekit.graph import NUMPY_DTYPES, Array, Graph, Node, Shape, Tensor, const, fresh
from edgekit.ops.conv import window_of
from edgekit.ops.windows import padded, patches
from edgekit.passes.rebatch import batch_of, rebatch

LAYERS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
SAMPLES = 128  # at most; layer by layer, all at once
BATCH = 16
ROWS = 16384  # positions of a layer that its moments are taken over
HELD = 512 << 20  # bytes of values at once
WORK = 3e10  # multiplications of a sweep; a layer beyond that keeps its nearest values
SWEEPS = 12
DAMP = 0.01  # of the mean square: what pulls a weight to its own value where data says nothing


@dataclass(frozen=True)
class Refined:
    """Per layer (source node): the error of its result before and after rounding (mean square; None: not rounded), and how
    many steps of its int32 bias were moved at most."""

    source: str
    before: float | None
    after: float | None
    moved: int


def with_biases(graph: Graph) -> Graph:
    """The graph with a bias of zeros at every layer that has none, for correction to work on."""
    tensors, nodes = dict(graph.tensors), list[Node]()
    for node in graph.nodes:
        if node.op in LAYERS and graph[str(node.inputs[1])].is_const and len(graph.input_tensors(node)) < 3:
            name = fresh(tensors, f"{node.outputs[0]}_bias")
            tensors[name] = const(name, np.zeros(_channels(node, graph[str(node.inputs[1])]), np.float32))
            node = replace(node, inputs=(*node.inputs[:2], name))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _channels(node: Node, weight: Tensor) -> int:
    return weight.shape[3 if node.op == "DEPTHWISE_CONV_2D" else 0]


def refine(
    before: Graph, after: Graph, data: Iterable[Mapping[str, Array]], *, rounding: bool = True, bias: bool = True
) -> tuple[Graph, list[Refined]]:
    """(`after` with new weights and biases, what was done to each layer). Scales and structure stay.

    before: the float graph; after: what `apply` made of it. data: samples in the source's layout, the first SAMPLES are used.
    Raises BadData when there are none, BadModel for graphs with states.
    """
    if after.states:
        raise BadModel(
            f"'{after.name}' carries values from run to run: its layers cannot be refined one by one",
            "without --rounding adaptive and --bias-correction",
        )
    walk = _Walk(before, after, data)
    done = []
    makers = after.producers()
    matches = {n.outputs[0]: m for n in before.nodes if (m := _match(before, after, n, makers)) is not None}
    uses: dict[str, int] = {}
    for node in after.nodes:
        for name in node.inputs:
            if name is not None:
                uses[name] = uses.get(name, 0) + 1
    steps = {node.outputs[0]: node for node in before.nodes}
    partner = {m.outputs[0]: steps[name] for name, m in matches.items()}
    floats = iter(before.nodes)
    known: set[str] = {*before.inputs}
    for node in after.nodes:
        other = partner.get(node.outputs[0])
        if other is not None and uses[str(node.inputs[1])] == 1:
            while other.inputs[0] not in known:  # run the float network up to what this layer reads
                step = next(floats)
                walk.float_step(step)
                known |= set(step.outputs)
            done.append(walk.improve(other, node, rounding, bias))
        walk.integer_step(node)
    changed = {t.name: t for t in walk.changed.values()}
    words = " ".join(w for w, on in (("rounding", rounding), ("bias", bias)) if on)
    return replace(after, tensors={**after.tensors, **changed}).with_history(f"refine {words}"), done


def _match(before: Graph, after: Graph, node: Node, makers: Mapping[str, Node]) -> Node | None:
    """The integer node made of a float layer."""
    if node.op not in LAYERS or not before[str(node.inputs[1])].is_const or before[str(node.inputs[0])].is_const:
        return None
    for name in (node.outputs[0], f"{node.outputs[0]}_int8", f"{node.outputs[0]}_int16"):
        found = makers.get(name)
        if found is not None and found.op == node.op and after[str(found.inputs[1])].quant is not None:
            return found if after[str(found.inputs[1])].shape == before[str(node.inputs[1])].shape else None
    return None


class _Walk:
    """Both networks' values on the samples, in batches; dropped after their last use."""

    def __init__(self, before: Graph, after: Graph, data: Iterable[Mapping[str, Array]]) -> None:
        most = max((t.nbytes for t in before.tensors.values() if not t.is_const), default=1)
        samples = list(islice(iter(data), max(1, min(SAMPLES, HELD // max(1, 8 * most)))))
        if not samples:
            raise BadData("there are no samples to refine on")
        size = BATCH if len(samples) >= BATCH else 1
        try:
            self.before, self.after = (rebatch(g, size * batch_of(g)) for g in (before, after))
        except EdgekitError:
            size, self.before, self.after = 1, before, after
        whole = len(samples) // size * size
        groups = [samples[i : i + size] for i in range(0, whole, size)]
        self.real = [_joined(before, group) for group in groups]
        self.integer = [_joined(after, group) for group in groups]
        self.changed: dict[str, Tensor] = {}
        self._nodes = {g: {n.outputs[0]: n for n in net.nodes} for g, net in (("real", self.before), ("integer", self.after))}
        self._last = {g: reference.last_uses(net) for g, net in (("real", self.before), ("integer", self.after))}
        self._place = {
            g: {n.outputs[0]: i for i, n in enumerate(net.nodes)} for g, net in (("real", self.before), ("integer", self.after))
        }
        # A float value is read once more when the integer network reaches the layer.
        self._kept = {str(n.inputs[0]) for n in before.nodes if n.op in LAYERS}

    def float_step(self, node: Node) -> None:
        self._step("real", self.before, self.real, node, self._kept)

    def integer_step(self, node: Node) -> None:
        self._step("integer", self.after, self.integer, node, set())

    def _step(self, side: str, graph: Graph, batches: list[dict[str, Array]], node: Node, kept: set[str]) -> None:
        own = self._nodes[side][node.outputs[0]]
        place = self._place[side][node.outputs[0]]
        for values in batches:
            values |= dict(zip(own.outputs, reference.run_node(graph, own, values), strict=True))
            for name in own.inputs:
                if name is not None and self._last[side].get(name) == place and name not in kept:
                    values.pop(name, None)

    def improve(self, node: Node, own: Node, rounding: bool, bias: bool) -> Refined:
        """Round and correct one layer of the integer network."""
        weight, held = self.before[str(node.inputs[1])], self.after[str(own.inputs[1])]
        tensor = self.after[str(own.inputs[0])]
        assert held.quant is not None
        assert held.data is not None
        bias = bias and len(own.inputs) > 2 and own.inputs[2] is not None
        x = _rows(node, weight, [v[str(node.inputs[0])] for v in self.real])
        xq = _rows(node, weight, [_real(v[tensor.name], tensor) for v in self.integer])
        real = _as_rows(node, weight.real().astype(np.float64))
        steps = _as_rows(node, held.data.astype(np.float64))
        scale = np.broadcast_to(held.quant.scale.astype(np.float64).reshape(-1, 1), (len(steps), 1))
        found: Array = steps
        errors: tuple[float | None, float | None] = (None, None)
        if rounding and steps.size * steps.shape[1] <= WORK and held.dtype in {"int8", "int4"}:
            limit = fixedpoint.integer_range(held.dtype)[1]
            live = ~(steps == 0).all(axis=1, keepdims=True)  # a flushed channel stays so
            found, errors = round_rows(real, np.where(live, steps, np.nan), scale, x, xq, limit, centred=bias)
            found = np.where(live, found, 0)
            self._change(held, _as_weight(node, found, held.shape).astype(NUMPY_DTYPES[held.dtype]))
        moved = self._correct(node, own, real, found * scale, x, xq) if bias else 0
        return Refined(node.source or node.outputs[0], errors[0], errors[1], moved)

    def _correct(self, node: Node, own: Node, real: Array, made: Array, x: Array, xq: Array) -> int:
        held = self.after[str(own.inputs[2])]
        assert held.quant is not None
        assert held.data is not None
        groups = len(x)
        mean = [np.repeat(v.mean(axis=1), len(real) // groups, axis=0) if groups > 1 else v.mean(axis=1) for v in (x, xq)]
        scale = held.quant.scale.astype(np.float64).reshape(-1)
        # A layer without a bias in the float network has a zero one here.
        wanted = (real * mean[0]).sum(axis=1)
        given = node.inputs[2] if len(node.inputs) > 2 else None
        if given is not None:
            wanted = wanted + self.before[given].real().astype(np.float64).reshape(-1)
        steps = fixedpoint.round_half_away((wanted - (made * mean[1]).sum(axis=1)) / scale)
        limit = float(1 << 30) if held.dtype == "int32" else 2.0**46
        new = np.clip(steps, -limit, limit).astype(held.data.dtype).reshape(held.shape)
        moved = int(np.abs(new.astype(np.int64) - held.data.astype(np.int64)).max(initial=0))
        self._change(held, new)
        return moved

    def _change(self, tensor: Tensor, data: Array) -> None:
        self.changed[tensor.name] = replace(tensor, data=np.ascontiguousarray(data))
        self.after = replace(self.after, tensors={**self.after.tensors, tensor.name: self.changed[tensor.name]})


def round_rows(
    real: Array, steps: Array, scale: Array, x: Array, xq: Array, limit: int, centred: bool
) -> tuple[Array, tuple[float, float]]:
    """(steps rounded so that E|steps * scale * xq - real * x|^2 is least, (that error before, after)).

    real, steps: [R, K]; rows of NaN steps are left out. scale: [R, 1]. x, xq: [G, n, K], what each of G equal parts of the rows
    is multiplied with. centred: leave the means out (a bias makes up for them).
    """
    if centred:
        x, xq = x - x.mean(axis=1, keepdims=True), xq - xq.mean(axis=1, keepdims=True)
    count, groups = x.shape[1], len(x)
    moment, cross = xq.transpose(0, 2, 1) @ xq / count, x.transpose(0, 2, 1) @ xq / count
    damp = DAMP * np.trace(moment, axis1=1, axis2=2) / moment.shape[1] + 1e-12
    eye = np.eye(moment.shape[1])[None] * damp[:, None, None]
    rows = len(real) // groups
    wanted = (real.reshape(groups, rows, -1) @ (cross + eye)).reshape(real.shape)
    dead = np.isnan(steps)
    q = np.where(dead, 0.0, steps)
    slope = ((q * scale).reshape(groups, rows, -1) @ (moment + eye)).reshape(real.shape) - wanted
    curve = moment + eye
    low = np.clip(np.floor(real / scale), -limit, limit)
    high = np.clip(np.ceil(real / scale), -limit, limit)
    gained, square = 0.0, scale[:, 0] ** 2
    for _ in range(SWEEPS):
        changes = 0
        for i in range(q.shape[1]):
            other = np.where(q[:, i] == low[:, i], high[:, i], low[:, i])
            d = np.where(dead[:, i], 0.0, other - q[:, i])
            bend = np.repeat(curve[:, i, i], rows)
            gain = 2 * d * scale[:, 0] * slope[:, i] + d * d * square * bend
            d = np.where(gain < -1e-12 * square * bend, d, 0.0)
            moved = np.flatnonzero(d)
            if moved.size:
                changes += moved.size
                gained += float(gain[moved].sum())
                q[moved, i] += d[moved]
                slope[moved] += (d[moved] * scale[moved, 0])[:, None] * curve[moved // rows, i]
        if not changes:
            break
    first = _error(real, np.where(dead, 0.0, steps) * scale, x, xq)
    last = _error(real, q * scale, x, xq)
    return q, (first, last)


def _error(real: Array, made: Array, x: Array, xq: Array) -> float:
    """Mean square of real x - made xq."""
    groups = len(x)
    shape = (groups, len(real) // groups, -1)
    gap = x @ real.reshape(shape).transpose(0, 2, 1) - xq @ made.reshape(shape).transpose(0, 2, 1)
    return float(np.mean(gap**2))


def _joined(graph: Graph, samples: list[Mapping[str, Array]]) -> dict[str, Array]:
    """Feeds of several samples as one batch."""
    feeds = [to_feeds(graph, sample) for sample in samples]
    return {
        n: np.concatenate([f[n] for f in feeds], axis=_batch_axis(graph, n)) if len(feeds) > 1 else feeds[0][n]
        for n in graph.inputs
    }


def _batch_axis(graph: Graph, name: str) -> int:
    perm = graph.contract.input(name).perm
    return 0 if perm is None else perm.index(0)


def _real(values: Array, tensor: Tensor) -> Array:
    if tensor.quant is None:
        return values
    scale, zero = tensor.quant.broadcast(values.ndim)
    return fixedpoint.dequantize(values, scale, zero)


def _as_rows(node: Node, weight: Array) -> Array:
    """Weights as [outputs, inputs]: a depthwise layer's are [C, kh * kw]."""
    moved = np.moveaxis(weight, 3, 0) if node.op == "DEPTHWISE_CONV_2D" else weight
    return moved.reshape(moved.shape[0], -1)


def _as_weight(node: Node, rows: Array, shape: Shape) -> Array:
    if node.op == "DEPTHWISE_CONV_2D":
        return np.moveaxis(rows.reshape(shape[3], *shape[:3]), 0, 3)
    return rows.reshape(shape)


def _rows(node: Node, weight: Tensor, batches: list[Array]) -> Array:
    """float64[G, n, K]: what a layer's rows are multiplied with, at up to ROWS positions, evenly spread; G groups of rows."""
    each = max(1, ROWS // len(batches))
    return np.concatenate([_spread(_columns(node, weight, x), each) for x in batches], axis=1)


def _spread(rows: Array, most: int) -> Array:
    stride = -(-rows.shape[1] // most)
    return np.asarray(rows[:, ::stride], np.float64)


def _columns(node: Node, weight: Tensor, x: Array) -> Array:
    """[G, positions, K] of one batch."""
    if node.op == "FULLY_CONNECTED":
        return x.reshape(1, -1, weight.shape[1])
    win = window_of(node, weight.shape)
    x = padded(x, win.pad, 0)
    reach = [(k - 1) * d + 1 for k, d in zip(win.kernel, win.dilation, strict=True)]
    size = ((x.shape[1] - reach[0]) // win.stride[0] + 1, (x.shape[2] - reach[1]) // win.stride[1] + 1)
    view = patches(x, win.kernel, win.stride, win.dilation, size)  # [N, OH, OW, kh, kw, C]
    kernel, depth = win.kernel[0] * win.kernel[1], x.shape[3]
    if node.op == "DEPTHWISE_CONV_2D":
        rows = view.reshape(-1, kernel, depth).transpose(2, 0, 1)
        return np.repeat(rows, weight.shape[3] // depth, axis=0)
    groups = depth // weight.shape[3]
    split = view.reshape(-1, kernel, groups, weight.shape[3]).transpose(2, 0, 1, 3)
    return split.reshape(groups, -1, kernel * weight.shape[3])
