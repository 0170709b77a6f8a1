"""Operators of ONNX Runtime's own (com.microsoft), which its optimizer and quantizer put in place of standard ones: each is
read as the standard operators that it stands for.

Meanings: ContribOperators.md of ONNX Runtime. What works on integers is in `qlinear`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgekit.graph import Array
from edgekit.load.onnx import attention as standard
from edgekit.load.onnx.builder import Call, Cannot
from edgekit.load.onnx.flow import Reader, alias

MICROSOFT = "com.microsoft"
ACTIVATION = ("activation", "activation_params", "activation_alpha", "activation_beta", "activation_gamma")


class Steps:
    """Standard nodes in place of one. Calling it reads a node, and gives the name of its (first) output."""

    def __init__(self, r: Reader, c: Call, node: onnx.NodeProto) -> None:
        self.r, self.b, self.c, self.node = r, r.b, c, node

    def __call__(self, op: str, inputs: Sequence[str | None], out: str = "", **attrs: Any) -> str:
        b = self.b
        name = out or b.new_name(f"{self.node.output[0]}/{op.lower()}")
        made = helper.make_node(op, [n or "" for n in inputs], [name], name=self.node.name, **attrs)
        for n in made.input:
            b.uses[n] = b.uses.get(n, 0) + 1
        b.uses.setdefault(name, 1)
        self.r.node(made)
        return name

    def constant(self, data: Array, what: str) -> str:
        name = self.b.new_name(f"{self.node.output[0]}/{what}")
        self.b.consts[name] = data
        return name

    def number(self, value: float, what: str) -> str:
        return self.constant(np.asarray(value, np.float32), what)

    def bound(self, tensor: str) -> str:
        """The ONNX name of a tensor that was made directly."""
        name = self.b.new_name(f"{self.node.output[0]}/value")
        self.b.values[name] = tensor
        return name

    def attributes(self, *without: str) -> dict[str, Any]:
        return {k: v for k, v in self.c.attrs.items() if k not in without}

    def unused(self, first: int, why: str) -> None:
        """Cannot when somebody reads an output from `first` on."""
        if any(n for n in self.c.outputs[first:]):
            raise Cannot(why, "export with standard ONNX operators, or save the file before ONNX Runtime optimizes it")

    @property
    def out(self) -> str:
        return str(self.node.output[0])


Rule = Callable[[Steps], None]


# Layers with an activation ---------------------------------------------------------------------------------------------


def activated(s: Steps, x: str, params: Sequence[float]) -> None:
    """The node's output: its `activation` of x."""
    kind, given = str(s.c.get("activation", "")), list(params)
    if not kind:
        alias(s.r, s.out, x)
    elif kind == "Clip":
        low, high = (s.number(v, w) for v, w in zip(given, ("min", "max"), strict=True))
        s("Min", [s("Max", [x, low]), high], s.out)
    elif kind in ("Relu", "Tanh", "Sigmoid", "Softplus", "Softsign", "HardSwish"):
        s(kind, [x], s.out)
    elif kind in ("LeakyRelu", "Elu", "ThresholdedRelu"):
        s(kind, [x], s.out, **({"alpha": given[0]} if given else {}))
    elif kind == "HardSigmoid":
        s(kind, [x], s.out, **dict(zip(("alpha", "beta"), given, strict=False)))
    else:
        raise Cannot(f"its activation is {kind}", "save the file before ONNX Runtime optimizes it")


def fused_conv(s: Steps) -> None:
    """Convolution, then a sum with the fourth input, then an activation."""
    ins = [*s.c.inputs, None, None][:4]
    y = s("Conv", ins[: 3 if ins[2] else 2], **s.attributes(*ACTIVATION))
    if ins[3]:
        y = s("Add", [y, ins[3]])
    activated(s, y, s.c.get("activation_params", []))


def fused_gemm(s: Steps) -> None:
    y = s("Gemm", s.c.inputs, **s.attributes(*ACTIVATION))
    activated(s, y, [float(s.c.attrs[k]) for k in ACTIVATION[2:] if k in s.c.attrs])


def fused_matmul(s: Steps) -> None:
    """alpha * A' B', where ' swaps the last two axes, after transBatch moved the first axis before the last."""

    def turned(name: str, side: str) -> str:
        rank = len(s.b.shape(name))
        perm = list(range(rank))
        if s.c.get(f"transBatch{side}", 0):
            perm = [*perm[1:-1], perm[0], perm[-1]]
        if s.c.get(f"trans{side}", 0):
            perm[-2:] = perm[:-3:-1]
        return name if perm == sorted(perm) else s("Transpose", [name], perm=perm)

    x, y = turned(s.c.needed(0), "A"), turned(s.c.needed(1), "B")
    alpha = float(s.c.get("alpha", 1.0))
    if alpha == 1.0:
        s("MatMul", [x, y], s.out)
    elif y in s.b.consts:
        s("MatMul", [x, s("Mul", [y, s.number(alpha, "alpha")])], s.out)
    else:
        s("Mul", [s("MatMul", [x, y]), s.number(alpha, "alpha")], s.out)


def gelu(s: Steps) -> None:
    """Gelu, and with a bias before it; FastGelu is the one by tanh."""
    x = s.c.needed(0)
    if s.c.input(1):
        x = s("Add", [x, s.c.needed(1)])
    s("Gelu", [x], s.out, approximate="tanh" if s.c.op == "FastGelu" else "none")


def quick_gelu(s: Steps) -> None:
    s("Swish", [s.c.needed(0)], s.out, alpha=float(s.c.get("alpha", 1.702)))


# Normalisations --------------------------------------------------------------------------------------------------------


def simplified_norm(s: Steps) -> None:
    s.unused(1, "its reciprocal deviation is read")
    axis, epsilon = int(s.c.get("axis", -1)), float(s.c.get("epsilon", 1e-5))
    s("RMSNormalization", s.c.inputs[:2], s.out, axis=axis, epsilon=epsilon)


def skip_norm(s: Steps) -> None:
    """The norm of input + skip (+ bias); the fourth output is that sum."""
    plain = s.c.op == "SkipLayerNormalization"
    ins = [*s.c.inputs, None, None, None][:5]
    beta, bias = (ins[3], ins[4]) if plain else (None, ins[3])
    if any(n for n in s.c.outputs[1:3]):
        raise Cannot("its mean or deviation is read", "save the file before ONNX Runtime optimizes it")
    total = s("Add", [ins[0], ins[1]])
    if bias:
        total = s("Add", [total, bias])
    epsilon = float(s.c.get("epsilon", 1e-5 if not plain else 1e-12))
    op, weights = ("LayerNormalization", [ins[2], beta]) if plain else ("RMSNormalization", [ins[2]])
    s(op, [total, *(n for n in weights if n)], s.out, axis=-1, epsilon=epsilon)
    if len(s.c.outputs) > 3:
        alias(s.r, s.c.outputs[3], total)


def embedding_norm(s: Steps) -> None:
    """The norm of word + position (+ segment) embeddings. Outputs: it, how many ids are no padding, the sum."""
    b = s.b
    ins = [*s.c.inputs, *[None] * 9][:9]
    ids, segments, words, places, segment_table, gamma, beta, mask, positions = ins
    total = s("Gather", [words, ids])
    if positions:
        total = s("Add", [total, s("Gather", [places, positions])])
    else:
        rows = s.constant(np.arange(b.shape(str(ids))[1], dtype=np.int64)[None], "positions")
        total = s("Add", [total, s("Gather", [places, rows])])
    if segments and segment_table:
        total = s("Add", [total, s("Gather", [segment_table, segments])])
    s("LayerNormalization", [total, gamma, beta], s.out, axis=-1, epsilon=float(s.c.get("epsilon", 1e-12)))
    if len(s.c.outputs) > 1 and s.c.outputs[1]:
        if not mask:
            raise Cannot("its mask index is read, and it has no mask", "export with an attention mask")
        b.values[s.c.outputs[1]] = b.one("SUM", [b.tensor(mask)], axes=(1,))
    if len(s.c.outputs) > 2:
        alias(s.r, s.c.outputs[2], total)


# Attention -------------------------------------------------------------------------------------------------------------


def attend(s: Steps, qkv: Sequence[str], mask: str | None, bias: str | None, past: Sequence[str | None]) -> list[str]:
    """[y, keys, values] of queries, keys and values [B, S, N * H], by the standard operator; outputs are tensors.

    mask: (B), how many keys count; (B, T), 1 where one counts; (B, S, T). bias: what is added to scores [B, N, S, T].
    """
    b = s.b
    count = int(s.c.attrs["num_heads"])
    length, before = b.shape(qkv[1])[1], 0 if past[0] is None else b.shape(past[0])[2]
    masks: list[str | None] = [None if bias is None else b.tensor(bias)]
    if mask is not None:
        keep, shape = b.tensor(mask), b.shape(mask)
        if len(shape) == 1 and shape[0] == b.shape(qkv[0])[0]:
            places = b.constant(np.arange(length + before, dtype=np.int32).reshape(1, 1, 1, -1), "places")
            keep = b.one("LESS", [places, b.reshape(keep, (shape[0], 1, 1, 1))])
        elif len(shape) in (2, 3):
            zero = b.constant(np.zeros(1, b.dtype(mask)), "zero")
            wide = (shape[0], 1, *([1] if len(shape) == 2 else []), *shape[1:])
            keep = b.reshape(keep, wide) if b.dtype(mask) == "bool" else b.one("GREATER", [b.reshape(keep, wide), zero])
        else:
            raise Cannot(f"its mask has the shape {list(shape)}", "give it as [batch, length]")
        if masks[0] is None:
            masks = [keep]
        else:
            low = b.constant(np.asarray([float(s.c.get("mask_filter_value", -1e4))], np.float32), "masked")
            masks = [b.one("SELECT_V2", [keep, masks[0], low])]
    attrs: dict[str, Any] = {"q_num_heads": count, "kv_num_heads": count, "is_causal": int(s.c.get("unidirectional", 0))}
    if float(s.c.get("scale", 0.0)):
        attrs["scale"] = float(s.c.attrs["scale"])
    given = (*qkv, None if masks[0] is None else s.bound(masks[0]), *past)
    made = standard.attention(b, Call("Attention", given, (s.out, "", ""), attrs, s.c.source, s.c.opset))
    return made[:3]


def attention(s: Steps) -> None:
    """Queries, keys and values by one matrix product of the input."""
    b = s.b
    ins = [*s.c.inputs, *[None] * 7][:7]
    weights, bias = b.array(ins[1]), b.array(ins[2])
    if weights is None or (ins[2] is not None and bias is None):
        raise Cannot("its weights are computed at run time", "make them initializers")
    if s.c.get("do_rotary", 0):
        raise Cannot("it turns its queries and keys (do_rotary)", "export with standard ONNX operators")
    sizes = [int(n) for n in s.c.get("qkv_hidden_sizes", [])] or [weights.shape[1] // 3] * 3
    cuts = np.cumsum(sizes)[:-1]
    qkv = []
    for part, w in zip("qkv", np.split(weights, cuts, axis=1), strict=True):
        y = s("MatMul", [ins[0], s.constant(np.ascontiguousarray(w), part)])
        if bias is not None:
            y = s("Add", [y, s.constant(np.split(bias, cuts)["qkv".index(part)], f"{part}_bias")])
        qkv.append(y)
    past: list[str | None] = [None, None]
    if ins[4] is not None:
        shape = b.shape(ins[4])
        halves = b.emit("SPLIT", [b.tensor(ins[4])], outputs=2, axis=0, sizes=(1, 1))
        past = [s.bound(b.reshape(half, shape[1:])) for half in halves]
    y, keys, values = attend(s, qkv, ins[3], ins[5], past)
    b.values[s.out] = y
    if len(s.c.outputs) > 1 and s.c.outputs[1]:
        if past[0] is None:
            keys, values = (standard.heads(b, b.values[n], int(s.c.attrs["num_heads"])) for n in qkv[1:])
        rows = [b.reshape(t, (1, *b.tensors[t].shape)) for t in (keys, values)]
        b.values[s.c.outputs[1]] = b.one("CONCATENATION", rows, axis=0)


def multi_head(s: Steps) -> None:
    """Attention of given queries, keys and values, with their biases in one vector."""
    b = s.b
    ins = [*s.c.inputs, *[None] * 8][:8]
    count = int(s.c.attrs["num_heads"])
    if ins[1] is None or ins[2] is None:
        raise Cannot("its queries, keys and values are packed in one", "save the file before ONNX Runtime optimizes it")
    qkv = [str(n) for n in ins[:3]]
    for i in (1, 2):
        if len(own := b.shape(qkv[i])) == 4:  # [B, N, L, H]
            turned = b.transpose(b.tensor(qkv[i]), (0, 2, 1, 3))
            qkv[i] = s.bound(b.reshape(turned, (own[0], own[2], own[1] * own[3])))
    if ins[3] is not None:
        bias = b.array(ins[3])
        if bias is None:
            raise Cannot("its bias is computed at run time", "make it an initializer")
        width = b.shape(qkv[0])[2]
        for i, part in enumerate(np.split(bias, [width, 2 * width])):
            qkv[i] = s("Add", [qkv[i], s.constant(part, f"bias{i}")]) if np.any(part) else qkv[i]
    made = attend(s, qkv, ins[4], ins[5], ins[6:8])
    if ins[6] is None and len(s.c.outputs) > 1:
        made = [made[0], *(standard.heads(b, b.tensor(n), count) for n in qkv[1:])]
    for out, tensor in zip(s.c.outputs, made, strict=False):
        if out:
            b.values[out] = tensor


def rotary(s: Steps) -> None:
    """The standard operator has the positions last, and the first position alone is spelt out."""
    b = s.b
    x, positions, cos, sin = (s.c.needed(i) for i in range(4))
    shape = b.shape(x)
    attrs = s.attributes("scale", "is_packed_batching")
    if len(shape) == 3 and not int(attrs.get("num_heads", 0)):
        attrs["num_heads"] = shape[2] // (2 * b.shape(cos)[1])
    if b.shape(positions) == (1,):
        first = b.array(positions)
        if first is None:
            raise Cannot("its first position is computed at run time", f"fix it: --set {positions}=0")
        rows = first.reshape(1, 1).astype(np.int64) + np.arange(shape[-2], dtype=np.int64)[None]
        positions = s.constant(np.broadcast_to(rows, (shape[0], rows.shape[1])), "positions")
    s("RotaryEmbedding", [x, cos, sin, positions], s.out, **attrs)


# Packed weights --------------------------------------------------------------------------------------------------------


def matmul_bits(s: Steps) -> None:
    """MatMulNBits: weights [N, blocks, bytes] of 4 or 8 bits, low half first, with a scale a block: read as float32."""
    b = s.b
    ins = [*s.c.inputs, *[None] * 6][:6]
    packed, scales = b.array(ins[1]), b.array(ins[2])
    depth, units, bits, block = (int(s.c.attrs[k]) if k in s.c.attrs else 4 for k in ("K", "N", "bits", "block_size"))
    if packed is None or scales is None or bits not in (4, 8) or ins[4] is not None:
        raise Cannot("its weights are not constants of 4 or 8 bits in order", "start from the float model")
    blocks = -(-depth // block)

    def unpacked(a: Array, row: int) -> Array:
        flat = a.reshape(units, -1)
        if bits == 4:
            flat = np.stack([flat & 15, flat >> 4], axis=-1).reshape(units, -1)
        return flat[:, :row].astype(np.float32)

    values = unpacked(packed, blocks * block).reshape(units, blocks, block)
    zero: Array = np.full((units, blocks), float(1 << (bits - 1)), np.float32)
    if ins[3] is not None:
        given = b.array(ins[3])
        if given is None:
            raise Cannot("its zero points are computed at run time", "start from the float model")
        zero = given.astype(np.float32).reshape(units, blocks) if given.dtype.kind == "f" else unpacked(given, blocks)
    real = (values - zero[..., None]) * scales.astype(np.float32).reshape(units, blocks, 1)
    w = s.constant(np.ascontiguousarray(real.reshape(units, -1)[:, :depth].T), "weights")
    s.r.notes.append(f"{s.c.source}: weights of {bits} bits read as float32")
    if ins[5] is None:
        s("MatMul", [ins[0], w], s.out)
    else:
        s("Add", [s("MatMul", [ins[0], w]), ins[5]], s.out)


def as_standard(s: Steps) -> None:
    """An operator that the standard has under the same name."""
    s(s.c.op, s.c.inputs, s.out, **s.attributes())


RULES: Mapping[str, Rule] = {
    "FusedConv": fused_conv,
    "FusedGemm": fused_gemm,
    "FusedMatMul": fused_matmul,
    "TransposeMatMul": fused_matmul,
    **dict.fromkeys(["Gelu", "FastGelu", "BiasGelu"], gelu),
    "QuickGelu": quick_gelu,
    "SimplifiedLayerNormalization": simplified_norm,
    **dict.fromkeys(["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"], skip_norm),
    "EmbedLayerNormalization": embedding_norm,
    "Attention": attention,
    "MultiHeadAttention": multi_head,
    "RotaryEmbedding": rotary,
    "MatMulNBits": matmul_bits,
    **dict.fromkeys(["LayerNormalization", "Pad", "Trilu", "Range"], as_standard),
}


def rule_of(node: onnx.NodeProto) -> Rule | None:
    """The rule for a node of ONNX Runtime's; SimplifiedLayerNormalization is one in the standard's domain."""
    own = node.domain == MICROSOFT or node.op_type == "SimplifiedLayerNormalization"
    return RULES.get(node.op_type) if own else None


def read(r: Reader, c: Call, node: onnx.NodeProto) -> None:
    rule = rule_of(node)
    assert rule is not None
    rule(Steps(r, c, node))
