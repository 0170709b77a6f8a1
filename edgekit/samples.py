"""What one array or row of data must be to feed an input, and how it becomes a sample: shapes, dtypes, meaning, labels.

A sample is {input name: array}, in the *source* model's layout, batch 1, float32 real numbers (ids stay integers).
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from edgekit import metrics
from edgekit.boundary import source_shape
from edgekit.errors import BadData
from edgekit.graph import NUMPY_DTYPES, Array, Graph, Shape

Scale = tuple[float, int]  # real = scale * (q - zero point)


def is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def is_pair(value: Any) -> bool:
    """A tuple of arrays is (x, y) or several inputs; a list is a list of samples or batches."""
    return isinstance(value, tuple) and all(is_array(v) for v in value)


def as_numpy(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def as_array(value: Any, where: str) -> Array:
    array = as_numpy(value)
    try:
        array = array if isinstance(array, np.ndarray) else np.asarray(array)
    except ValueError as error:
        raise BadData(f"{where} is not one array: {error}") from error
    if array.dtype.kind not in "iufb":
        kind = "text" if array.dtype.kind in "US" else str(array.dtype)
        hint = "encode it as numbers; classes are 0, 1, ... in the order of the model's outputs"
        raise BadData(f"{where} holds {kind}, not numbers", hint)
    return cast(Array, array)


def as_labels(labels: Any, count: int, where: str) -> Array | None:
    if labels is None:
        return None
    array = as_array(labels, f"{where}: the array of labels")
    if array.ndim == 0 or array.shape[0] != count:
        raise BadData(f"{where}: {array.shape[0] if array.ndim else 1} labels for {count} samples")
    if array.dtype.kind == "f" and np.array_equal(array, np.trunc(array)):
        return array.astype(np.int64)  # classes that were saved as real numbers, as a .csv's are
    return array


def check_row_shape(row: Shape, graph: Graph, name: str, where: str) -> None:
    expected = source_shape(graph, name)
    if graph.states:  # a sample is a sequence: time, then one step after another
        if len(row) < 2 or 0 in row:
            raise BadData(f"{where}: input '{name}' needs sequences, got {list(row)} a sample", _sequence(expected))
        row = row[1:]
    if row != expected and [n for n in row if n != 1] != [n for n in expected if n != 1]:
        sample = expected[1:] if expected[:1] == (1,) else expected
        hint = f"give one array of shape [{', '.join(map(str, ('n', *sample)))}], a sample a row"
        if sorted(row) == sorted(sample):
            hint = "data is given in the source model's layout"
        elif graph.states:
            hint = _sequence(expected)
        elif sample == expected and expected:
            one = ",".join(map(str, (1, *expected[1:])))
            hint = f"if its first axis is a batch, fix it at 1: --shape {name}={one}; else {hint}"
        elif len(row) == len(sample) and graph[name].quant is None:
            hint += f", or load the model for these sizes: --shape {name}={','.join(map(str, (1, *row)))}"
        raise BadData(f"{where}: input '{name}' needs samples of shape {list(sample)}, got {list(row)}", hint)


def _sequence(expected: Shape) -> str:
    return f"the network carries states: give arrays of shape [n, time, {', '.join(map(str, expected[1:]))}]"


def meaning_of(dtype: np.dtype[Any], graph: Graph, name: str, scale: Scale | None, where: str) -> Scale | None:
    """(scale, zero point) that turns this array into real numbers, None when it is taken as it is."""
    tensor, spec = graph[name], graph.contract.input(name)
    if dtype.kind == "f":
        return None
    if scale is not None and (tensor.quant is not None or tensor.dtype.startswith("float")):
        return scale
    if tensor.quant is not None and dtype == NUMPY_DTYPES[tensor.dtype]:
        return None
    if tensor.quant is None and not tensor.dtype.startswith("float"):
        return None  # ids
    if spec.scale is not None:
        return spec.scale, spec.zero_point or 0
    raise BadData(
        f"{where}: input '{name}' takes real numbers, the data is {dtype}",
        "say what it means with --data-scale S,Z (real = S * (q - Z)); --data-scale 1,0 takes the integers as they are",
    )


def to_sample(row: Array, graph: Graph, name: str, meaning: Scale | None, index: int) -> Array:
    """One sample of source_shape (a sequence of such, for a graph with states): float32, or the input's own integers.

    Those are ids, or data already quantized.
    """
    tensor = graph[name]
    shape = ((-1,) if graph.states else ()) + source_shape(graph, name)
    array = np.asarray(row)
    kind = NUMPY_DTYPES[tensor.dtype]
    if meaning is not None:
        array = (array.astype(np.float64) - meaning[1]) * meaning[0]
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise BadData(f"sample {index} of input '{name}' holds NaN or infinity", "clean or drop that sample")
    takes_real = tensor.quant is not None or tensor.dtype.startswith("float")
    if array.dtype.kind == "f" and takes_real:
        return array.astype(np.float32).reshape(shape)
    if array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
        raise BadData(f"sample {index} of input '{name}' holds fractions, the input is {tensor.dtype} (ids)")
    if tensor.dtype != "bool" and array.size:
        limits = np.iinfo(cast(Any, kind))
        if array.min() < limits.min or array.max() > limits.max:
            raise BadData(f"sample {index} of input '{name}' does not fit {tensor.dtype}")
    return array.astype(kind).reshape(shape)


def check_labels(name: str, given: Array | None, graph: Graph) -> None:
    """Integer class labels must name one of the output's classes (one output, more than one class)."""
    if given is None or len(graph.outputs) != 1:
        return
    shape = graph[graph.outputs[0]].shape
    classes = shape[-1] if shape else 1
    try:
        labels = metrics.class_labels(given)
    except BadData:
        return  # not classes: accuracy will say so
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if classes > 1 and int(np.prod(shape)) == classes and wrong.size:
        first = int(wrong[0])
        raise BadData(
            f"{name}: label {int(labels[first])} of sample {first} is out of range: the model has {classes} classes",
            f"{wrong.size} of {labels.size} labels are not in 0..{classes - 1}; where outputs are embeddings: --task embedding",
        )
