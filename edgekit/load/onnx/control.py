"""What decides the network before it is read: inputs that are fixed to a value, so that an If on them is decided."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from edgekit.errors import BadConfig
from edgekit.graph import Array, Shape


def fix(model: onnx.ModelProto, fixed: Mapping[str, str], shapes: Mapping[str, Shape]) -> None:
    """Turn inputs into initializers of one value each (in place).

    fixed: {input: a number, true, false, or numbers separated by commas}. One number fills the input's whole shape.
    Raises BadConfig for unknown inputs, values that are not of the input's type or do not fit its shape.
    """
    graph = model.graph
    stored = {t.name for t in graph.initializer}
    inputs = {v.name: v for v in graph.input if v.name not in stored}
    for name, text in fixed.items():
        if name not in inputs:
            raise BadConfig(f"--set {name}={text}: the model has no input '{name}'", f"its inputs are {', '.join(inputs)}")
        kind = inputs[name].type.tensor_type
        if not inputs[name].type.HasField("tensor_type"):
            raise BadConfig(f"--set {name}={text}: '{name}' is not a tensor", "fix inputs that are plain tensors")
        dims = [d.dim_value for d in kind.shape.dim]
        shape = tuple(shapes.get(name, [n if n > 0 else (1 if i == 0 else 0) for i, n in enumerate(dims)]))
        if 0 in shape:
            raise BadConfig(f"--set {name}={text}: '{name}' has dynamic axes", f"add --shape {name}=...")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        graph.initializer.append(numpy_helper.from_array(_value(name, text, dtype, shape), name))
        graph.input.remove(inputs.pop(name))


def _value(name: str, text: str, dtype: np.dtype[np.generic], shape: Shape) -> Array:
    """The constant that `text` says. Whole numbers for integers, true or false (or 1, 0) for bool."""
    words = {"true": 1.0, "false": 0.0} if dtype.kind == "b" else {}
    try:
        numbers = [words[w.lower()] if w.lower() in words else float(w) for w in (part.strip() for part in text.split(","))]
        with np.errstate(over="raise", invalid="raise"):
            array = np.asarray(numbers).astype(dtype)
        lost = dtype.kind in "iub" and not np.array_equal(array.astype(np.float64), numbers)
    except (ValueError, FloatingPointError, TypeError):
        lost, array = True, np.zeros(1)
    if lost:
        raise BadConfig(f"--set {name}={text}: not of type {dtype}", "give numbers of the input's type, separated by commas")
    if array.size not in (1, int(np.prod(shape))):
        raise BadConfig(
            f"--set {name}={text}: {array.size} numbers do not fit the shape {list(shape)}", "give one, or one an element"
        )
    return np.ascontiguousarray(np.broadcast_to(array.reshape(shape if array.size > 1 or not shape else (1,)), shape))
