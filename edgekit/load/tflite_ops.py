"""One rule per TFLite builtin: a file's operator -> Graph nodes. The reader in `tflite.py` drives it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.graph import Shape
from edgekit.load import (
    tflite_batches,
    tflite_loop,
    tflite_math,
    tflite_rnn,
    tflite_spatial,
    tflite_spectrum,
    tflite_states,
)
from edgekit.load.tflite_build import Builder, Refused, const_of, ints_of, real_values
from edgekit.load.tflite_file import FileOp

# TFLite's own kernels pass over the others (TANH, SIGN_BIT) in silence.
ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
SAME = 0
Rule = Callable[[Builder, FileOp], None]


def same_padding(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """(before, after) of TFLite's SAME padding along one axis."""
    total = max((math.ceil(size / stride) - 1) * stride + (window - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def explicit_pad(b: Builder, op: FileOp, window: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    """The stride and pad attributes of a convolution or pool."""
    o = op.options
    stride = (int(o["strideH"]), int(o["strideW"]))
    shape = b.shape(op.inputs[0])
    if len(shape) != 4 or min(stride) < 1 or min(window) < 1 or min(dilation) < 1:
        raise Refused(f"input {list(shape)}, window {window}, stride {stride}, dilation {dilation} do not make sense")
    if o["padding"] != SAME:
        return {"stride": stride, "pad": (0, 0, 0, 0)}
    rows = same_padding(shape[1], window[0], stride[0], dilation[0])
    columns = same_padding(shape[2], window[1], stride[1], dilation[1])
    return {"stride": stride, "pad": (*rows, *columns)}


def activation(op: FileOp) -> str:
    code = int(op.options.get("fusedActivationFunction", 0))
    if code not in ACTIVATIONS:
        raise Refused(f"fused activation {code} is not supported", "use RELU, RELU6 or a separate TANH")
    return ACTIVATIONS[code]


def axis_of(value: int, rank: int) -> int:
    """A non-negative axis. Raises Refused when it is out of range."""
    if not -rank <= value < rank:
        raise Refused(f"axis {value} is out of range for rank {rank}")
    return value % rank


def conv(b: Builder, op: FileOp) -> None:
    weights = const_of(b, op, 1, "weights")
    if weights.ndim != 4:
        raise Refused(f"weights have rank {weights.ndim}, expected 4")
    dilation = (int(op.options["dilationHFactor"]), int(op.options["dilationWFactor"]))
    attrs = explicit_pad(b, op, (weights.shape[1], weights.shape[2]), dilation) | {
        "dilation": dilation,
        "activation": activation(op),
    }
    channels = b.shape(op.inputs[0])[3]
    if weights.shape[3] == 1 and channels > 1 and weights.shape[0] % channels == 0:
        # A grouped convolution with one channel a group is a depthwise one: [O,kh,kw,1] -> [1,kh,kw,O].
        moved = b.weights(op, 1, axis=0, data=weights.transpose(3, 1, 2, 0), new_axis=3)
        b.add("DEPTHWISE_CONV_2D", (b.name(op.inputs[0]), moved, b.bias(op, 2, moved)), op, attrs)
        return
    named = b.weights(op, 1, axis=0)
    b.add("CONV_2D", (b.name(op.inputs[0]), named, b.bias(op, 2, named)), op, attrs)


def depthwise(b: Builder, op: FileOp) -> None:
    weights = const_of(b, op, 1, "weights")
    if weights.ndim != 4 or weights.shape[0] != 1:
        raise Refused(f"weights {list(weights.shape)} are not [1, height, width, channels]")
    dilation = (int(op.options["dilationHFactor"]), int(op.options["dilationWFactor"]))
    attrs = explicit_pad(b, op, (weights.shape[1], weights.shape[2]), dilation)
    named = b.weights(op, 1, axis=3)
    attrs |= {"dilation": dilation, "activation": activation(op)}
    b.add("DEPTHWISE_CONV_2D", (b.name(op.inputs[0]), named, b.bias(op, 2, named)), op, attrs)


def dense(b: Builder, op: FileOp) -> None:
    if op.options.get("weightsFormat", 0) != 0:
        raise Refused("shuffled weights are not supported", "convert without shuffling")
    if not b.tensors[b.name(op.inputs[1])].is_const and len(b.shape(op.inputs[0])) == 2:
        product(b, op)
        return
    weights = const_of(b, op, 1, "weights")
    if weights.ndim != 2:
        raise Refused(f"weights have rank {weights.ndim}, expected 2")
    named = b.weights(op, 1, axis=0)
    attrs = {"activation": activation(op), "keep_dims": bool(op.options.get("keepNumDims", False))}
    b.add("FULLY_CONNECTED", (b.name(op.inputs[0]), named, b.bias(op, 2, named)), op, attrs)


def product(b: Builder, op: FileOp) -> None:
    """FULLY_CONNECTED with weights that are computed."""
    x, w = (b.name(i) for i in op.inputs[:2])
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        b.add("BATCH_MATMUL", (x, w), op, {"adj_y": True}, then=activation(op))
        return
    if b.quant(op.outputs[0]) is not None:
        raise Refused("its weights are computed, and it adds a bias in integers", "quantize the float model with edgekit")
    y = b.step("BATCH_MATMUL", (x, w), op, {"adj_y": True}, like=op.outputs[0])
    b.add("ADD", (y, b.name(op.inputs[2])), op, {"activation": activation(op)})


def pool(b: Builder, op: FileOp) -> None:
    window = (int(op.options["filterHeight"]), int(op.options["filterWidth"]))
    attrs = explicit_pad(b, op, window) | {"filter": window, "activation": activation(op)}
    b.add(op.code, (b.name(op.inputs[0]),), op, attrs)


def reduce(b: Builder, op: FileOp) -> None:
    rank = len(b.shape(op.inputs[0]))
    axes = tuple(sorted({axis_of(a, rank) for a in ints_of(b, op, 1, "axes")}))
    b.add(op.code, (b.name(op.inputs[0]),), op, {"axes": axes, "keep_dims": bool(op.options.get("keepDims", False))})


def arithmetic(b: Builder, op: FileOp) -> None:
    b.add(op.code, b.named(op), op, {"activation": activation(op)})


def divide(b: Builder, op: FileOp) -> None:
    b.add(op.code, b.named(op), op, {}, then=activation(op))


def plain(b: Builder, op: FileOp) -> None:
    b.add(op.code, b.named(op), op, {})


def softmax(b: Builder, op: FileOp) -> None:
    b.add(op.code, b.named(op), op, {"beta": float(op.options.get("beta", 1.0))})


def leaky(b: Builder, op: FileOp) -> None:
    b.add(op.code, b.named(op), op, {"alpha": float(op.options.get("alpha", 0.0))})


def reshape(b: Builder, op: FileOp) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the shape, fully static."""
    shape = b.shape(op.inputs[0])
    if op.code == "SQUEEZE":
        given = op.options.get("squeezeDims")
        axes = {axis_of(int(a), len(shape)) for a in ([] if given is None else given)}
        target = [n for i, n in enumerate(shape) if not (i in axes if axes else n == 1)]
    elif op.code == "EXPAND_DIMS":
        target = list(shape)
        target.insert(axis_of(ints_of(b, op, 1, "the axis")[0], len(shape) + 1), 1)
    else:
        given = op.options.get("newShape")
        target = (
            ints_of(b, op, 1, "the new shape") if len(op.inputs) > 1 else [int(n) for n in ([] if given is None else given)]
        )
    b.add("RESHAPE", (b.name(op.inputs[0]),), op, {"shape": solved(tuple(target), math.prod(shape))})


def solved(target: Shape, elements: int) -> Shape:
    """`target` with its one -1 worked out from the number of elements."""
    known = math.prod(n for n in target if n != -1)
    if target.count(-1) > 1 or min(target, default=0) < -1:
        raise Refused(f"new shape {list(target)} is not static")
    if -1 in target and known and elements % known == 0:
        return tuple(elements // known if n == -1 else n for n in target)
    if -1 in target or known != elements:
        raise Refused(f"{elements} elements do not fit into {list(target)}", "load at the file's own input shape")
    return target


def transpose(b: Builder, op: FileOp) -> None:
    rank = len(b.shape(op.inputs[0]))
    perm = tuple(axis_of(a, rank) for a in ints_of(b, op, 1, "the permutation"))
    b.add("TRANSPOSE", (b.name(op.inputs[0]),), op, {"perm": perm})


def pad(b: Builder, op: FileOp) -> None:
    value = 0.0
    if op.code == "PADV2" and len(op.inputs) > 2 and op.inputs[2] >= 0:
        value = float(real_values(b.constant(op.inputs[2], op, "the padding value")).reshape(-1)[0])
    b.add("PAD", (b.name(op.inputs[0]),), op, {"pads": tuple(paddings(b, op)), "value": value})


def paddings(b: Builder, op: FileOp) -> list[tuple[int, int]]:
    """(before, after) for each axis of the first input."""
    flat, rank = ints_of(b, op, 1, "the paddings"), len(b.shape(op.inputs[0]))
    if len(flat) != 2 * rank:
        raise Refused(f"{len(flat)} paddings for an input of rank {rank}")
    return list(zip(flat[::2], flat[1::2], strict=True))


def mirror_pad(b: Builder, op: FileOp) -> None:
    """A GATHER an axis: REFLECT leaves the edge out, SYMMETRIC repeats it."""
    shape = b.shape(op.inputs[0])
    pairs = paddings(b, op)
    edge = 0 if op.options.get("mode", 0) == 1 else 1
    padded = [axis for axis, pair in enumerate(pairs) if pair != (0, 0)]
    x = b.name(op.inputs[0])
    if not padded:
        b.add("RESHAPE", (x,), op, {"shape": shape})
    for axis in padded:
        (before, after), size = pairs[axis], shape[axis]
        if max(before, after) > size - edge or min(before, after) < 0:
            raise Refused(f"cannot mirror {pairs[axis]} elements of an axis of {size}")
        indices = [*range(before - 1 + edge, edge - 1, -1), *range(size), *range(size - 1 - edge, size - 1 - edge - after, -1)]
        if axis == padded[-1]:
            b.add("GATHER", (x, b.int32(op, f"mirror{axis}", indices)), op, {"axis": axis})
        else:
            x = b.step("GATHER", (x, b.int32(op, f"mirror{axis}", indices)), op, {"axis": axis}, like=op.inputs[0])


def concat(b: Builder, op: FileOp) -> None:
    axis = axis_of(int(op.options["axis"]), len(b.shape(op.inputs[0])))
    b.add("CONCATENATION", b.named(op), op, {"axis": axis}, then=activation(op))


def split(b: Builder, op: FileOp) -> None:
    data, along = (1, 0) if op.code == "SPLIT" else (0, 2)
    shape = b.shape(op.inputs[data])
    axis = axis_of(ints_of(b, op, along, "the axis")[0], len(shape))
    if op.code == "SPLIT":
        if shape[axis] % len(op.outputs):
            raise Refused(f"an axis of {shape[axis]} does not split into {len(op.outputs)} equal parts")
        sizes = [shape[axis] // len(op.outputs)] * len(op.outputs)
    else:
        sizes = ints_of(b, op, 1, "the sizes")
        sizes = [shape[axis] - sum(s for s in sizes if s >= 0) if n == -1 else n for n in sizes]
    b.add("SPLIT", (b.name(op.inputs[data]),), op, {"axis": axis, "sizes": tuple(sizes)})


def pack(b: Builder, op: FileOp) -> None:
    shape = b.shape(op.inputs[0])
    axis = axis_of(int(op.options["axis"]), len(shape) + 1)
    wide = (*shape[:axis], 1, *shape[axis:])
    if len(op.inputs) == 1:
        b.add("RESHAPE", (b.name(op.inputs[0]),), op, {"shape": wide})
        return
    parts = tuple(b.reshape(b.name(i), wide, op) for i in op.inputs)
    b.add("CONCATENATION", parts, op, {"axis": axis})


def unpack(b: Builder, op: FileOp) -> None:
    shape = b.shape(op.inputs[0])
    axis = axis_of(int(op.options["axis"]), len(shape))
    if shape[axis] != len(op.outputs):
        raise Refused(f"axis {axis} of {list(shape)} does not unpack into {len(op.outputs)}")
    narrow = (*shape[:axis], *shape[axis + 1 :])
    if len(op.outputs) == 1:
        b.add("RESHAPE", (b.name(op.inputs[0]),), op, {"shape": narrow})
        return
    parts = b.steps("SPLIT", (b.name(op.inputs[0]),), op, {"axis": axis, "sizes": (1,) * len(op.outputs)}, len(op.outputs))
    for part, output in zip(parts, op.outputs, strict=True):
        b.emit("RESHAPE", (part,), (output,), op, {"shape": narrow})


def slice_(b: Builder, op: FileOp) -> None:
    shape = b.shape(op.inputs[0])
    begin = tuple(ints_of(b, op, 1, "begin"))
    wanted = ints_of(b, op, 2, "size")
    if len(begin) != len(shape) or len(wanted) != len(shape):
        raise Refused(f"begin {list(begin)} and size {wanted} do not fit {list(shape)}")
    size = tuple(n - s if w == -1 else w for n, s, w in zip(shape, begin, wanted, strict=True))
    b.add("SLICE", (b.name(op.inputs[0]),), op, {"begin": begin, "size": size, "stride": (1,) * len(shape)})


def strided_slice(b: Builder, op: FileOp) -> None:
    """SLICE with strides, and a RESHAPE where the masks add or drop axes. Same meaning as NumPy's basic indexing."""
    shape, o = b.shape(op.inputs[0]), op.options
    begins, ends, strides = (ints_of(b, op, i, what) for i, what in ((1, "begin"), (2, "end"), (3, "strides")))
    dense_spec = dense_slices(begins, ends, strides, shape, o)
    begin, size, stride = (tuple(d[i] for d in dense_spec[0]) for i in range(3))
    attrs = {"begin": begin, "size": size, "stride": stride}
    if dense_spec[1] == size:
        b.add("SLICE", (b.name(op.inputs[0]),), op, attrs)
        return
    cut = b.step("SLICE", (b.name(op.inputs[0]),), op, attrs, like=op.inputs[0])
    b.add("RESHAPE", (cut,), op, {"shape": dense_spec[1]})


def dense_slices(
    begins: Sequence[int], ends: Sequence[int], strides: Sequence[int], shape: Shape, masks: Mapping[str, Any]
) -> tuple[list[tuple[int, int, int]], Shape]:
    """([(begin, size, stride) an input axis], final shape) of a STRIDED_SLICE."""
    spec = len(begins)
    if not (len(ends) == len(strides) == spec) or 0 in strides:
        raise Refused(f"begin {list(begins)}, end {list(ends)}, strides {list(strides)} do not fit together")
    if masks.get("offset"):
        raise Refused("STRIDED_SLICE with offset ends is not supported", "give absolute ends")
    on = {key: int(masks.get(f"{key}Mask", 0)) for key in ("begin", "end", "ellipsis", "newAxis", "shrinkAxis")}
    consumed = sum(1 for i in range(spec) if not on["ellipsis"] >> i & 1 and not on["newAxis"] >> i & 1)
    if consumed > len(shape):
        raise Refused(f"{consumed} slices for an input of rank {len(shape)}")
    parts: list[tuple[int, int, int]] = []
    final: list[int] = []
    for i in range(spec):
        if on["ellipsis"] >> i & 1:
            for n in shape[len(parts) : len(parts) + len(shape) - consumed]:
                parts.append((0, n, 1))
                final.append(n)
        elif on["newAxis"] >> i & 1:
            final.append(1)
        else:
            n = shape[len(parts)]
            if on["shrinkAxis"] >> i & 1:
                at = begins[i] + n if begins[i] < 0 else begins[i]
                if not 0 <= at < n:
                    raise Refused(f"index {begins[i]} is out of range for an axis of {n}")
                parts.append((at, 1, 1))
                continue
            low = None if on["begin"] >> i & 1 else begins[i]
            high = None if on["end"] >> i & 1 else ends[i]
            steps = range(*slice(low, high, strides[i]).indices(n))
            parts.append((steps.start if len(steps) else 0, len(steps), strides[i]))
            final.append(len(steps))
    for n in shape[len(parts) :]:
        parts.append((0, n, 1))
        final.append(n)
    return parts, tuple(final)


def gather(b: Builder, op: FileOp) -> None:
    shape, rows, batch = b.shape(op.inputs[0]), b.shape(op.inputs[1]), int(op.options.get("batchDims", 0) or 0)
    axis = axis_of(int(op.options.get("axis", 0)), len(shape))
    batch += len(rows) if batch < 0 else 0
    if not batch:
        b.add("GATHER", b.named(op), op, {"axis": axis})
        return
    if math.prod(rows[:batch]) != 1 or batch > axis:
        raise Refused("it gathers other rows in each of a batch", "load it at a batch of 1")
    index = b.reshape(b.name(op.inputs[1]), rows[batch:], op)
    b.add("GATHER", (b.name(op.inputs[0]), index), op, {"axis": axis})


def cast(b: Builder, op: FileOp) -> None:
    x, to = b.tensors[b.name(op.inputs[0])], b.file.tensors[op.outputs[0]].dtype
    if x.dtype == to and x.quant is None:  # of an input that is read as real numbers
        b.add("RESHAPE", (x.name,), op, {"shape": x.shape})
    else:
        b.add("CAST", (x.name,), op, {"to": to})


def shape_of(b: Builder, op: FileOp) -> None:
    """SHAPE of a static tensor is a constant."""
    dtype = np.int64 if b.file.tensors[op.outputs[0]].dtype == "int64" else np.int32
    b.set_const(op.outputs[0], np.array(b.shape(op.inputs[0]), dtype))


def quantize(b: Builder, op: FileOp) -> None:
    dtype, x = b.file.tensors[op.outputs[0]].dtype, b.tensors[b.name(op.inputs[0])]
    final = b.quant(op.outputs[0])
    if x.dtype == dtype and x.quant is not None and final is not None and final.same_as(x.quant):
        b.add("RESHAPE", (x.name,), op, {"shape": x.shape})
        return
    b.add("QUANTIZE", (x.name,), op, {} if dtype == "int8" else {"dtype": dtype})


def dequantize(b: Builder, op: FileOp) -> None:
    """A constant is folded into float32 (float16 and dynamic-range weights); an activation keeps its DEQUANTIZE."""
    source = b.tensors.get(b.name(op.inputs[0]))
    if source is not None and source.is_const:
        b.set_const(op.outputs[0], real_values(source))
        b.note(f"{source.dtype} weights read as float32")
    else:
        b.add("DEQUANTIZE", b.named(op), op, {})


def batch_matmul(b: Builder, op: FileOp) -> None:
    adj = {"adj_x": bool(op.options.get("adjX", False)), "adj_y": bool(op.options.get("adjY", False))}
    b.add("BATCH_MATMUL", b.named(op), op, adj)


def gelu(b: Builder, op: FileOp) -> None:
    b.add("GELU", b.named(op), op, {"approximate": bool(op.options.get("approximate", False))})


def l2_normalization(b: Builder, op: FileOp) -> None:
    if int(op.options.get("fusedActivationFunction", 0)):
        raise Refused("a fused activation of L2_NORMALIZATION is not supported", "use a separate activation")
    b.add("L2_NORMALIZATION", b.named(op), op, {})


RULES: dict[str, Rule] = {
    **tflite_rnn.RULES,
    **tflite_loop.RULES,
    **tflite_states.RULES,
    **tflite_batches.RULES,
    **tflite_spectrum.RULES,
    "BATCH_MATMUL": batch_matmul,
    "GELU": gelu,
    "L2_NORMALIZATION": l2_normalization,
    "LOG_SOFTMAX": plain,
    "DEPTH_TO_SPACE": tflite_spatial.blocks,
    "RESIZE_BILINEAR": tflite_spatial.resize,
    "RESIZE_NEAREST_NEIGHBOR": tflite_spatial.resize,
    "SPACE_TO_DEPTH": tflite_spatial.blocks,
    "TRANSPOSE_CONV": tflite_spatial.transpose_conv,
    "CUSTOM Convolution2DTransposeBias": tflite_spatial.transpose_conv_bias,
    "ADD": arithmetic,
    "AVERAGE_POOL_2D": pool,
    "CAST": cast,
    "CONCATENATION": concat,
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": depthwise,
    "DEQUANTIZE": dequantize,
    "DIV": divide,
    "ELU": plain,
    "EXPAND_DIMS": reshape,
    "FULLY_CONNECTED": dense,
    "GATHER": gather,
    "HARD_SWISH": plain,
    "LEAKY_RELU": leaky,
    "LOGISTIC": plain,
    "MAXIMUM": plain,
    "MAX_POOL_2D": pool,
    "MEAN": reduce,
    "MINIMUM": plain,
    "MIRROR_PAD": mirror_pad,
    "MUL": arithmetic,
    "PACK": pack,
    "PAD": pad,
    "PADV2": pad,
    "PRELU": plain,
    "QUANTIZE": quantize,
    "REDUCE_MAX": reduce,
    "REDUCE_MIN": reduce,
    "RELU": plain,
    "RELU6": plain,
    "RELU_N1_TO_1": plain,
    "RESHAPE": reshape,
    "SHAPE": shape_of,
    "SLICE": slice_,
    "SOFTMAX": softmax,
    "SPLIT": split,
    "SPLIT_V": split,
    "SQUEEZE": reshape,
    "STRIDED_SLICE": strided_slice,
    "SUB": arithmetic,
    "SUM": reduce,
    "TANH": plain,
    "TRANSPOSE": transpose,
    "UNPACK": unpack,
    **tflite_math.RULES,
}
