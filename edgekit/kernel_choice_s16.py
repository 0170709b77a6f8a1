"""Which C kernel runs an operator on int16 activations, and the scratch it needs."""

from __future__ import annotations

from edgekit.graph import Node, Tensor
from edgekit.ops import TABLE, attr
from edgekit.ops.spatial import most_taps

# Operator -> kernel, where the shapes do not matter. RELU's kernel rescales and clamps.
_KERNELS: dict[str, str] = {
    **{op: f"{op.lower()}_s16" for op in "ADD SUB MUL MAXIMUM MINIMUM AVERAGE_POOL_2D MAX_POOL_2D LEAKY_RELU SOFTMAX".split()},
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1"), "relu_s16"),
    **dict.fromkeys(("MEAN", "SUM"), "sum_s16"),
    "BATCH_MATMUL": "batch_matmul_s16",
    "FULLY_CONNECTED": "matmul_s16",
    "LOGISTIC": "logistic_of_s16",
    "REDUCE_MAX": "reduce_max_s16",
    "REDUCE_MIN": "reduce_min_s16",
    "TANH": "tanh_of_s16",
}
_PACKED = {f"{stem}_s16": f"{stem}_dsp_s16" for stem in ("matmul", "conv", "conv_1x1", "depthwise", "transpose_conv")}


def wide_kernel(node: Node, x: Tensor, w: Tensor | None) -> tuple[str, int] | None:
    """(kernel, scratch bytes), or None. Scratch holds the windows of two pixels."""
    if node.op == "CONV_2D" and w is not None:
        entry = TABLE[node.op]
        whole = w.shape[1:3] == (1, 1) and w.shape[3] == x.shape[3]
        if whole and tuple(attr(node, entry, "stride")) == (1, 1) and not any(attr(node, entry, "pad")):
            return "conv_1x1_s16", 0
        return "conv_s16", 4 * w.shape[1] * w.shape[2] * w.shape[3]
    if node.op == "DEPTHWISE_CONV_2D" and w is not None:
        return ("depthwise_s16" if w.shape[3] == x.shape[3] else "depthwise_multiplier_s16"), 0
    if node.op == "TRANSPOSE_CONV" and w is not None:
        return "transpose_conv_s16", 4 * most_taps(node, w.shape) * w.shape[3]
    found = _KERNELS.get(node.op)
    return None if found is None else (found, 0)


def packed_wide(kernel: tuple[str, int]) -> tuple[str, int]:
    """The same for a core with the DSP extension."""
    return _PACKED.get(kernel[0], kernel[0]), kernel[1]
