"""Normalisations by the values themselves, products of two activations, attention, rotary embedding and Einsum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgekit.graph import Shape
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler, axis_of

ATTENTION = frozenset(
    "is_causal kv_num_heads left_window_size q_num_heads qk_matmul_output_mode right_window_size scale softcap "
    "softmax_precision".split()
)
MASKED = float(np.finfo(np.float32).min)  # what a causal mask adds


def transposed(b: Builder, x: str, perm: Sequence[int]) -> str:
    return x if tuple(perm) == tuple(range(len(perm))) else b.transpose(x, perm)


def scalar(b: Builder, value: float, what: str) -> str:
    return b.constant(np.asarray([value], np.float32), what)


def scaled(b: Builder, x: str, by: float, what: str) -> str:
    return x if by == 1.0 else b.one("MUL", [x, scalar(b, by, what)])


# Normalisations ------------------------------------------------------------------------------------------------------


def parameter(b: Builder, name: str | None, shape: Shape, tag: str) -> str | None:
    """A constant scale or shift as float32 of exactly `shape`; None when there is none, or it is computed."""
    if name is None or b.array(name) is None:
        return None
    if np.broadcast_shapes(b.shape(name), shape) != shape:
        raise ValueError(f"scale or shift {list(b.shape(name))} does not fit {list(shape)}")
    return b.weight(name, tag, lambda a: np.ascontiguousarray(np.broadcast_to(a, shape)))


def normalised(b: Builder, op: str, x: str, names: Sequence[str | None], shape: Shape, tag: str, **attrs: Any) -> str:
    """The normalisation of x with gamma and beta of `shape` (ONNX names); computed ones are a MUL and an ADD after it."""
    given = [parameter(b, name, shape, tag) for name in names]
    late = [name is not None and value is None for name, value in zip(names, given, strict=True)]
    if any(late):
        given = [None] * len(given)
    while given and given[-1] is None:
        given.pop()
    y = b.one(op, [x, *given], **attrs)
    for name, step in zip(names if any(late) else (), ("MUL", "ADD"), strict=False):
        y = y if name is None else b.one(step, [y, b.tensor(name)])
    return y


def layer_norm(b: Builder, c: Call) -> list[str]:
    """Further outputs are the mean and 1 / deviation, with the normalised axes as 1."""
    x, epsilon = b.tensor(c.needed(0)), float(c.get("epsilon", 1e-5))
    shape = b.tensors[x].shape
    axis = axis_of(c.get("axis", -1), len(shape))
    op = "RMS_NORM" if c.op == "RMSNormalization" else "LAYER_NORM"
    names = [c.input(1), *([c.input(2)] if op == "LAYER_NORM" else [])]
    made = [normalised(b, op, x, names, shape[axis:], f"norm{list(shape[axis:])}", axis=axis, epsilon=epsilon)]
    if len(c.outputs) > 1:
        axes = tuple(range(axis, len(shape)))
        mean = b.one("MEAN", [x], axes=axes, keep_dims=True)
        away = b.one("SUB", [x, mean])
        variance = b.one("MEAN", [b.one("MUL", [away, away])], axes=axes, keep_dims=True)
        made += [mean, b.one("RSQRT", [b.one("ADD", [variance, scalar(b, epsilon, "epsilon")])])]
    return made


def channels_last(b: Builder, x: str, make: Callable[[str], str]) -> str:
    """make(x with its channels, axis 1, last), with the axes put back."""
    rank = len(b.tensors[x].shape)
    if rank in (3, 4):
        return b.from_spatial(make(b.to_spatial(x)), rank)
    perm = (0, *range(2, rank), 1)
    return transposed(b, make(transposed(b, x, perm)), [perm.index(i) for i in range(rank)])


def by_group(b: Builder, x: str, groups: int, epsilon: float, names: Sequence[str | None] = (), tag: str = "") -> str:
    channels = b.tensors[x].shape[1]
    attrs = {"groups": groups, "epsilon": epsilon}
    return channels_last(b, x, lambda v: normalised(b, "GROUP_NORM", v, names, (channels,), tag, **attrs))


def group_norm(b: Builder, c: Call) -> list[str]:
    """Before opset 21 scale and bias are one a group."""
    x, groups, epsilon = b.tensor(c.needed(0)), int(c.attrs["num_groups"]), float(c.get("epsilon", 1e-5))
    channels, names = b.tensors[x].shape[1], [c.needed(1), c.needed(2)]
    if b.shape(names[0]) == (channels,):
        return [by_group(b, x, groups, epsilon, names, "group")]
    y = by_group(b, x, groups, epsilon)
    rank = len(b.tensors[y].shape)
    for name, op in zip(names, ("MUL", "ADD"), strict=True):
        spread = np.repeat(np.arange(groups), channels // groups).astype(np.int32)
        wide = b.one("GATHER", [b.tensor(name), b.constant(spread, "groups")], axis=0)
        y = b.one(op, [y, b.reshape(wide, (channels, *(1,) * (rank - 2)))])
    return [y]


def instance_norm(b: Builder, c: Call) -> list[str]:
    """A channel is a group; of channels that are groups put together by a Reshape (how PyTorch writes GroupNorm), those."""
    x, epsilon = b.tensor(c.needed(0)), float(c.get("epsilon", 1e-5))
    shape, names = b.tensors[x].shape, [c.needed(1), c.needed(2)]
    maker = b.made_by(x)
    values = [b.array(name) for name in names]
    plain = all(value is not None and np.all(value == v) for value, v in zip(values, (1, 0), strict=True))
    if plain and maker is not None and maker.op == "RESHAPE" and len(shape) == 3:
        source = str(maker.inputs[0])
        before = b.tensors[source].shape
        if len(before) >= 3 and before[0] == shape[0] and before[1] != shape[1] and before[1] % shape[1] == 0:
            return [b.reshape(by_group(b, source, shape[1], epsilon), shape)]
    return [by_group(b, x, shape[1], epsilon, names, "instance")]


def mean_variance(b: Builder, c: Call) -> list[str]:
    """Over `axes`; ONNX divides by deviation + 1e-9, which is this epsilon to within rounding."""
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    axes = sorted({axis_of(a, len(shape)) for a in c.get("axes", (0, 2, 3))})
    if 0 in axes and shape[0] == 1 and len(axes) > 1:
        axes.remove(0)
    if len(shape) > 2 and axes == list(range(2, len(shape))):
        return [by_group(b, x, shape[1], 1e-18)]
    kept = [i for i in range(len(shape)) if i not in axes]
    perm = [*kept, *axes]
    y = b.one("LAYER_NORM", [transposed(b, x, perm)], axis=len(kept), epsilon=1e-18)
    return [transposed(b, y, [perm.index(i) for i in range(len(shape))])]


def along_last(b: Builder, x: str, axis: int, make: Callable[[str], str]) -> str:
    """make(x with `axis` last), with the axes put back."""
    rank = len(b.tensors[x].shape)
    perm = [*(i for i in range(rank) if i != axis), axis]
    return transposed(b, make(transposed(b, x, perm)), [perm.index(i) for i in range(rank)])


def lp_norm(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    axis = axis_of(c.get("axis", -1), len(b.tensors[x].shape))
    if int(c.get("p", 2)) == 2:
        return [along_last(b, x, axis, lambda v: b.one("L2_NORMALIZATION", [v]))]
    size = b.one("SUM", [b.one("ABS", [x])], axes=(axis,), keep_dims=True)
    return [b.one("DIV", [x, size])]


def log_softmax(b: Builder, c: Call) -> list[str]:
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    axis = axis_of(c.get("axis", 1 if c.opset < 13 else -1), max(len(shape), 1))
    if c.opset < 13:
        # Before opset 13 everything from `axis` on is one row.
        flat = b.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:])))
        return [b.reshape(b.one("LOG_SOFTMAX", [flat]), shape)]
    return [along_last(b, x, axis, lambda v: b.one("LOG_SOFTMAX", [v]))]


def lrn(b: Builder, c: Call) -> list[str]:
    """x * (bias + alpha / size * the window's sum of squares) ** -beta; the window over channels is a band matrix."""
    size, alpha, beta = int(c.attrs["size"]), float(c.get("alpha", 1e-4)), float(c.get("beta", 0.75))

    def make(x: str) -> str:
        channels = b.tensors[x].shape[-1]
        place = np.arange(channels)
        away = place[None, :] - place[:, None]
        band = (away >= -((size - 1) // 2)) & (away <= size // 2)
        weights = b.constant((band * (alpha / size)).astype(np.float32), "band")
        bias = b.constant(np.full(channels, float(c.get("bias", 1.0)), np.float32), "bias")
        sums = b.one("FULLY_CONNECTED", [b.one("MUL", [x, x]), weights, bias], keep_dims=True)
        return b.one("MUL", [x, b.one("POW", [sums, scalar(b, -beta, "beta")])])

    return [channels_last(b, b.tensor(c.needed(0)), make)]


def gelu(b: Builder, c: Call) -> list[str]:
    x, approximate = b.tensor(c.needed(0)), c.get("approximate", "none") == "tanh"
    return [b.under_views(x, lambda source: b.one("GELU", [source], approximate=approximate))]


def swish(b: Builder, c: Call) -> list[str]:
    x, alpha = b.tensor(c.needed(0)), float(c.get("alpha", 1.0))
    if alpha == 1.0:
        return [b.under_views(x, lambda source: b.one("SILU", [source]))]
    return [b.one("MUL", [x, b.one("LOGISTIC", [scaled(b, x, alpha, "alpha")])])]


# Products ------------------------------------------------------------------------------------------------------------


def product(b: Builder, x: str, y: str) -> str:
    """MatMul of two values as BATCH_MATMUL; a vector gets an axis, and loses it again."""
    left, right = b.tensors[x].shape, b.tensors[y].shape
    if len(left) == 1:
        x = b.reshape(x, (1, *left))
    if len(right) == 1:
        y = b.reshape(y, (*right, 1))
    made = b.one("BATCH_MATMUL", [x, y])
    shape = b.tensors[made].shape
    final = (*shape[:-2], *(shape[-2:-1] if len(left) > 1 else ()), *(shape[-1:] if len(right) > 1 else ()))
    return b.reshape(made, final)


def heads(b: Builder, x: str, count: int) -> str:
    """[B, S, H * D] as [B, H, S, D]."""
    batch, length, width = b.tensors[x].shape
    return b.transpose(b.reshape(x, (batch, length, count, width // count)), (0, 2, 1, 3))


def attention(b: Builder, c: Call) -> list[str]:
    """softmax(scale * Q K^T [softcapped] + mask) V; several query heads may share one of keys and values."""
    unknown = sorted(set(c.attrs) - ATTENTION)
    if unknown:
        raise Cannot(f"its attribute {unknown[0]} is not known", "write it with MatMul and Softmax")
    if any(c.input(i) is not None for i in range(6, len(c.inputs))):
        raise Cannot("it reads nonpad_kv_seqlen", "give the mask as attn_mask")
    q, k, v = (b.tensor(c.needed(i)) for i in range(3))
    flat = len(b.tensors[q].shape) == 3
    if flat:
        q = heads(b, q, int(c.attrs["q_num_heads"]))
        k, v = (heads(b, t, int(c.attrs["kv_num_heads"])) for t in (k, v))
    for index, past in ((4, "key"), (5, "value")):
        name = c.input(index)
        if name is not None:
            k, v = (
                (b.one("CONCATENATION", [b.tensor(name), k], axis=2), v)
                if past == "key"
                else (k, b.one("CONCATENATION", [b.tensor(name), v], axis=2))
            )
    batch, count, length, depth = b.tensors[q].shape
    shared, keys = b.tensors[k].shape[1:3]
    group = count // shared
    scale = float(c.get("scale", 0.0) or 1.0 / math.sqrt(depth))
    rows = b.reshape(q, (batch, shared, group * length, depth))
    raw = scaled(b, b.one("BATCH_MATMUL", [rows, k], adj_y=True), scale, "scale")
    steps = [b.reshape(raw, (batch, count, length, keys))]
    cap = float(c.get("softcap", 0.0))
    capped = steps[0]
    if cap:
        capped = scaled(b, b.one("TANH", [scaled(b, capped, 1.0 / cap, "uncap")]), cap, "cap")
    masked, kept = _masked(b, c, capped, length, keys)
    weights = b.one("SOFTMAX", [masked])
    if kept is not None:  # a row of which nothing is kept gives zeros
        weights = b.one("SELECT_V2", [kept, weights, scalar(b, 0.0, "nothing")])
    y = b.one("BATCH_MATMUL", [b.reshape(weights, (batch, shared, group * length, keys)), v])
    y = b.reshape(y, (batch, count, length, b.tensors[v].shape[3]))
    if flat:
        y = b.reshape(b.transpose(y, (0, 2, 1, 3)), (batch, length, count * b.tensors[v].shape[3]))
    # qk_matmul_output_mode: after the product, with the cap, with the mask, after the softmax.
    mode = int(c.get("qk_matmul_output_mode", 0))
    return [y, k, v, (steps[0], capped, masked, weights)[mode]]


def _masked(b: Builder, c: Call, scores: str, length: int, keys: int) -> tuple[str, str | None]:
    """(scores with attn_mask, the causal mask and the window; the bool of what is kept, where a row may keep nothing)."""
    past = b.shape(c.needed(4))[2] if c.input(4) is not None else 0
    ahead = np.arange(keys)[None, :] - np.arange(length)[:, None] - past
    left, right = int(c.get("left_window_size", -1)), int(c.get("right_window_size", -1))
    right = min(right, 0) if c.get("is_causal", 0) and right >= 0 else 0 if c.get("is_causal", 0) else right
    low = MASKED if len(c.outputs) < 4 else -math.inf  # whoever reads the scores wants them as ONNX has them
    shown = np.ones((length, keys), bool)
    shown &= (ahead <= right) if right >= 0 else True
    shown &= (ahead >= -left) if left >= 0 else True
    name = c.input(3)
    mask = None if name is None else b.tensor(name)
    if mask is not None and b.tensors[mask].shape[-1] not in (keys, 1):
        raise Cannot("its mask is shorter than its keys", "a mask over all keys")
    if mask is not None and b.tensors[mask].dtype == "bool":
        both = mask if shown.all() else b.one("LOGICAL_AND", [mask, b.constant(shown, "shown")])
        return b.one("SELECT_V2", [both, scores, scalar(b, low, "masked")]), both
    if mask is not None:
        scores = b.one("ADD", [scores, mask])
    if not shown.all():
        scores = b.one("ADD", [scores, b.constant(np.where(shown, 0.0, low).astype(np.float32), "hidden")])
    empty = not shown.any(axis=1).all()
    return scores, b.constant(shown, "shown") if empty else None


def rotary(b: Builder, c: Call) -> list[str]:
    """Pairs of features turned by the angle of their position: halves of the features, or neighbours (interleaved).

    Su et al. 2021, RoFormer: Enhanced Transformer with Rotary Position Embedding.
    """
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    if len(shape) == 3:
        count = int(c.attrs["num_heads"])
        x = b.reshape(x, (*shape[:2], count, shape[2] // count))
    else:
        x = b.transpose(x, (0, 2, 1, 3))  # [B, S, H, D]
    batch, length, count, width = b.tensors[x].shape
    turned = int(c.get("rotary_embedding_dim", 0)) or width
    angles = []
    for index in (1, 2):
        table = b.tensor(c.needed(index))
        if c.input(3) is not None:
            table = b.one("GATHER", [table, b.tensor(c.needed(3))], axis=0)
        rows = b.tensors[table].shape
        lead = (rows[0], rows[1]) if len(rows) == 3 else (1, rows[0])
        angles.append(b.reshape(table, (*lead, 1, rows[-1])))
    rest = None
    if turned < width:
        x, rest = b.emit("SPLIT", [x], outputs=2, axis=3, sizes=(turned, width - turned))
    half, pairs = turned // 2, (batch, length, count, turned // 2)
    if c.get("interleaved", 0):
        both = b.emit("SPLIT", [b.reshape(x, (*pairs, 2))], outputs=2, axis=4, sizes=(1, 1))
        first, second = (b.reshape(part, pairs) for part in both)
    else:
        first, second = b.emit("SPLIT", [x], outputs=2, axis=3, sizes=(half, half))
    cos, sin = angles
    parts = [
        b.one("SUB", [b.one("MUL", [first, cos]), b.one("MUL", [second, sin])]),
        b.one("ADD", [b.one("MUL", [first, sin]), b.one("MUL", [second, cos])]),
    ]
    if c.get("interleaved", 0):
        parts = [b.reshape(part, (*pairs, 1)) for part in parts]
        y = b.reshape(b.one("CONCATENATION", parts, axis=4), (batch, length, count, turned))
    else:
        y = b.one("CONCATENATION", parts, axis=3)
    if rest is not None:
        y = b.one("CONCATENATION", [y, rest], axis=3)
    return [b.reshape(y, shape) if len(shape) == 3 else b.transpose(y, (0, 2, 1, 3))]


HANDLERS: dict[str, Handler] = {
    "LayerNormalization": layer_norm,
    "RMSNormalization": layer_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "MeanVarianceNormalization": mean_variance,
    "LpNormalization": lp_norm,
    "LogSoftmax": log_softmax,
    "LRN": lrn,
    "Gelu": gelu,
    "Swish": swish,
    "Attention": attention,
    "RotaryEmbedding": rotary,
}
