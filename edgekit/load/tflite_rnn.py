"""TFLite's recurrent builtins as LSTM and RNN. Their state is a variable tensor, which starts at zero in each run here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.errors import BadModel
from edgekit.graph import Array, Node, Quant, Tensor, const, fresh
from edgekit.load.tflite_build import Builder, Refused
from edgekit.load.tflite_file import HINT, FileOp

NONE, RELU, TANH = 0, 1, 4  # the schema's ActivationFunctionType
NOTE = "a recurrent layer's variable state starts at zero in each run: reset the interpreter before each sequence"

# TensorFlow's converter writes this into every LSTM of Keras, which itself has no clip.
KERAS_CLIP = 10.0
CLIP_NOTE = "an LSTM's cell state is not clipped to ±10, as TensorFlow's converter writes it and Keras does not"


def cell(
    b: Builder,
    kind: str,
    x: str,
    weights: Sequence[Tensor | None],
    op: FileOp,
    outputs: Sequence[int | None],
    quants: Sequence[Quant | None] = (),
    *,
    first: Sequence[str | None] = (),
    reverse: bool = False,
    **attrs: object,
) -> list[str]:
    """An LSTM, GRU or RNN node (see `ops.recurrent`) of x [N,T,I]; the names of its outputs y, h (and c).

    weights: w, r and the bias, in the op table's order of gates, as constants of any name; GRU: also rb. first: h0 (and c0).
    outputs: the file's tensor for each output, or None; quants: of each output.
    """
    named = [None if t is None else _keep(b, t) for t in weights]
    states = [*first, None, None][:2]
    inputs = [x, *named[:3], states[0], named[3] if kind == "GRU" and len(named) > 3 else states[1]]
    while inputs[-1] is None:
        inputs.pop()
    names = [
        fresh(b.taken, f"{b.source(op)}/{part}") if i is None else b.file.names[i]
        for i, part in zip(outputs, "yhc", strict=False)
    ]
    b.taken |= set(names)
    node = Node(kind, tuple(inputs), tuple(names), {"reverse": reverse, **attrs}, b.source(op))
    given = [*quants, None, None, None]
    made = [
        Tensor(name, shape, dtype if quant is None else quant.dtype, None, quant)
        for name, (shape, dtype), quant in zip(names, b.inferred(node), given, strict=False)
    ]
    b.place(node, made)
    return names


def _keep(b: Builder, tensor: Tensor) -> str:
    name = fresh(b.taken, tensor.name)
    b.taken.add(name)
    b.tensors[name] = Tensor(name, tensor.shape, tensor.dtype, tensor.data, tensor.quant)
    return name


def joined(b: Builder, op: FileOp, positions: Sequence[int], what: str) -> Tensor:
    """The gates' constants one below the other; a scale a row where they are quantized beside an integer input."""
    parts = [b.constant(op.inputs[p], op, what) for p in positions]
    name = f"{b.file.names[op.outputs[0]]}/{what}"
    integer = b.tensors[b.name(op.inputs[0])].quant is not None
    if not integer or any(t.quant is None for t in parts):
        if integer and any(t.dtype != "int32" for t in parts):
            raise BadModel(f"{b.source(op)}: {what} have no scale", HINT)
        data: Array = np.concatenate([t.data if integer else t.real() for t in parts])
        return const(name, data)
    scales = np.concatenate([np.broadcast_to(t.quant.scale, (t.shape[0],)) for t in parts])  # type: ignore[union-attr]
    zeros = np.concatenate([np.broadcast_to(t.quant.zero_point, (t.shape[0],)) for t in parts])  # type: ignore[union-attr]
    values = np.concatenate([t.data for t in parts if t.data is not None])
    return const(name, values, Quant(scales, zeros, 0, None, parts[0].dtype), parts[0].dtype)


def given(op: FileOp, position: int) -> bool:
    return position < len(op.inputs) and op.inputs[position] >= 0


def batch_major(b: Builder, op: FileOp) -> str:
    """x as [N,T,I]."""
    x = b.name(op.inputs[0])
    if len(b.tensors[x].shape) != 3:
        raise Refused(f"its input has {len(b.tensors[x].shape)} axes", "use [batch, time, features]")
    return b.steps("TRANSPOSE", (x,), op, {"perm": (1, 0, 2)}, 1)[0] if op.options.get("timeMajor") else x


def lstm(b: Builder, op: FileOp) -> None:
    o = op.options
    clip = float(o.get("cellClip") or 0.0)
    if int(o.get("fusedActivationFunction", TANH)) != TANH or clip not in (0.0, KERAS_CLIP) or o.get("projClip"):
        raise Refused("it clips, or its activation is not tanh", "use a plain LSTM")
    if clip:
        b.note(CLIP_NOTE)
    for positions, what in (
        ((9, 10, 11), "peephole connections"),
        ((16, 17), "a projection"),
        ((20, 21, 22, 23), "layer norm"),
    ):
        if any(given(op, p) for p in positions):
            raise Refused(f"it has {what}", "use a plain LSTM")
    if not given(op, 1) or not given(op, 5):
        raise Refused("its input gate is one minus the forget gate", "use a plain LSTM")
    x = batch_major(b, op)
    w, r, bias = (joined(b, op, p, n) for p, n in ((range(1, 5), "w"), (range(5, 9), "r"), (range(12, 16), "b")))
    quants: list[Quant | None] = [None, None, None]
    source, y = b.tensors[x].quant, b.quant(op.outputs[0])
    if source is not None:
        variable = b.file.tensors[op.inputs[19]] if given(op, 19) else None
        if variable is None or variable.scale is None or variable.dtype != "int16" or w.quant is None or y is None:
            raise Refused("its cell state is not int16 with a scale", "convert with full int8 quantization")
        quants = [y, y, Quant.per_tensor(float(variable.scale[0]), 0, "int16")]
        scale = Quant.per_channel(source.scale[0] * w.quant.scale, 0, "int32")
        bias = Tensor(bias.name, bias.shape, bias.dtype, bias.data, scale)
    _finish(b, op, "LSTM", x, (w, r, bias), quants)


def rnn(b: Builder, op: FileOp) -> None:
    activation = {TANH: "TANH", RELU: "RELU"}.get(int(op.options.get("fusedActivationFunction", NONE)))
    x = batch_major(b, op)
    if activation is None or b.tensors[x].quant is not None:
        raise Refused("its activation is neither tanh nor relu, or it is quantized", "use a float RNN, or an LSTM")
    _finish(
        b,
        op,
        "RNN",
        x,
        [joined(b, op, (p,), n) for p, n in ((1, "w"), (2, "r"), (3, "b"))],
        [None, None],
        activation=activation,
    )


def _finish(
    b: Builder, op: FileOp, kind: str, x: str, weights: Sequence[Tensor], quants: Sequence[Quant | None], **attrs: object
) -> None:
    b.note(NOTE)
    major = bool(op.options.get("timeMajor"))
    rest = [None] * (len(quants) - 1)
    names = cell(b, kind, x, weights, op, (None if major else op.outputs[0], *rest), quants, **attrs)  # type: ignore[arg-type]
    if major:
        b.emit("TRANSPOSE", (names[0],), op.outputs, op, {"perm": (1, 0, 2)})


RULES = {"UNIDIRECTIONAL_SEQUENCE_LSTM": lstm, "UNIDIRECTIONAL_SEQUENCE_RNN": rnn}
