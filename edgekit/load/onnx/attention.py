"""Normalisations by the values themselves, products of two activations, attention, rotary embedding and Einsum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edgekit.graph import Shape
from edgekit.load.onnx.builder import Builder, Call, Cannot, Handler, axis_of

MASKED = float(np.finfo(np.float32).min)  # what a causal mask adds


def transposed(b: Builder, x: str, perm: Sequence[int]) -> str:
    return x if tuple(perm) == tuple(range(len(perm))) else b.transpose(x, perm)


def scalar(b: Builder, value: float, what: str) -> str:
    return b.constant(np.asarray([value], np.float32), what)


def scaled(b: Builder, x: str, by: float, what: str) -> str:
    return x if by == 1.0 else b.one("MUL", [x, scalar(b, by, what)])


# Normalisations ------------------------------------------------------------------------------------------------------


def parameter(b: Builder, name: str | None, shape: Shape, tag: str) -> str | None:
    """A constant scale or shift as float32 of exactly `shape`; None when absent. Cannot when it is computed."""
    if name is None:
        return None
    value = b.array(name)
    if value is None:
        raise Cannot("its scale or shift is computed at run time", "make them initializers")
    wide = np.broadcast_shapes(value.shape, shape) == shape
    if not wide:
        raise ValueError(f"scale or shift {list(value.shape)} does not fit {list(shape)}")
    return b.weight(name, tag, lambda a: np.ascontiguousarray(np.broadcast_to(a, shape)))


def layer_norm(b: Builder, c: Call) -> list[str]:
    if len(c.outputs) > 1:
        raise Cannot("its mean and inverse deviation are read", "compute them with ReduceMean")
    x = b.tensor(c.needed(0))
    shape = b.tensors[x].shape
    axis = axis_of(c.get("axis", -1), len(shape))
    op = "RMS_NORM" if c.op == "RMSNormalization" else "LAYER_NORM"
    tag = f"norm{list(shape[axis:])}"
    inputs = [x, *(parameter(b, c.input(index), shape[axis:], tag) for index in range(1, 3 if op == "LAYER_NORM" else 2))]
    while inputs[-1] is None:
        inputs.pop()
    return [b.one(op, inputs, axis=axis, epsilon=float(c.get("epsilon", 1e-5)))]


def channels_last(b: Builder, x: str, make: Callable[[str], str]) -> str:
    """make(x with its channels, axis 1, last), with the axes put back."""
    rank = len(b.tensors[x].shape)
    if rank in (3, 4):
        return b.from_spatial(make(b.to_spatial(x)), rank)
    perm = (0, *range(2, rank), 1)
    return transposed(b, make(transposed(b, x, perm)), [perm.index(i) for i in range(rank)])


def by_group(b: Builder, x: str, groups: int, epsilon: float, gamma: str | None = None, beta: str | None = None) -> str:
    inputs = [gamma, beta] if beta is not None else [gamma] if gamma is not None else []
    return channels_last(b, x, lambda v: b.one("GROUP_NORM", [v, *inputs], groups=groups, epsilon=epsilon))


def group_norm(b: Builder, c: Call) -> list[str]:
    """Before opset 21 scale and bias are one a group."""
    x, groups = b.tensor(c.needed(0)), int(c.attrs["num_groups"])
    channels = b.tensors[x].shape[1]
    parameters = []
    for index in (1, 2):
        name = c.needed(index)
        value = b.array(name)
        if value is None:
            raise Cannot("its scale or shift is computed at run time", "make them initializers")
        repeat = channels // value.size if value.size == groups else 1
        parameters.append(b.weight(name, f"group{repeat}", lambda a, r=repeat: np.repeat(a.reshape(-1), r)))  # type: ignore[misc]
    return [by_group(b, x, groups, float(c.get("epsilon", 1e-5)), *parameters)]


def instance_norm(b: Builder, c: Call) -> list[str]:
    """A channel is a group; of channels that are groups put together by a Reshape (how PyTorch writes GroupNorm), those."""
    x, epsilon = b.tensor(c.needed(0)), float(c.get("epsilon", 1e-5))
    shape = b.tensors[x].shape
    gamma, beta = (parameter(b, c.input(i), shape[1:2], "instance") for i in (1, 2))
    maker = b.made_by(x)
    plain = all(b.array(c.input(i)) is None or np.all(b.array(c.input(i)) == v) for i, v in ((1, 1), (2, 0)))
    if plain and maker is not None and maker.op == "RESHAPE" and len(shape) == 3:
        source = str(maker.inputs[0])
        before = b.tensors[source].shape
        if len(before) >= 3 and before[0] == shape[0] and before[1] != shape[1] and before[1] % shape[1] == 0:
            return [b.reshape(by_group(b, source, shape[1], epsilon), shape)]
    return [by_group(b, x, shape[1], epsilon, gamma, beta)]


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
    masked = _masked(b, c, capped, length, keys)
    weights = b.one("SOFTMAX", [masked])
    y = b.one("BATCH_MATMUL", [b.reshape(weights, (batch, shared, group * length, keys)), v])
    y = b.reshape(y, (batch, count, length, b.tensors[v].shape[3]))
    if flat:
        y = b.reshape(b.transpose(y, (0, 2, 1, 3)), (batch, length, count * b.tensors[v].shape[3]))
    # qk_matmul_output_mode: after the product, with the mask, with the cap, after the softmax.
    mode = int(c.get("qk_matmul_output_mode", 0))
    return [y, k, v, (steps[0], masked, capped, weights)[mode]]


def _masked(b: Builder, c: Call, scores: str, length: int, keys: int) -> str:
    """Scores plus attn_mask (added, or a bool that keeps) and the causal mask."""
    name = c.input(3)
    if name is not None:
        mask = b.tensor(name)
        if b.tensors[mask].dtype == "bool":
            scores = b.one("SELECT_V2", [mask, scores, scalar(b, MASKED, "masked")])
        else:
            scores = b.one("ADD", [scores, mask])
    if c.get("is_causal", 0):
        past = keys - length if c.input(4) is not None else 0
        hidden = np.arange(keys)[None, :] > np.arange(length)[:, None] + past
        scores = b.one("ADD", [scores, b.constant(np.where(hidden, MASKED, 0.0).astype(np.float32), "causal")])
    return scores


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
