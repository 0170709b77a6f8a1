"""The static shapes of an ONNX model's inputs: what the file says, what --shape says, and names that are the same size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from edgekit.errors import BadModel, OpenShape
from edgekit.graph import NUMPY_DTYPES, Shape, Tensor
from edgekit.load.onnx.builder import NARROW

# A size without a name is unique; in the table of sizes it is None.
Dim = int | str | None
BATCHES = ("b", "bs")  # names of an axis that can be nothing else
LARGEST = 1 << 30  # bytes of a model that is copied for shape inference


def input_shapes(values: Sequence[onnx.ValueInfoProto], given: Mapping[str, Shape]) -> dict[str, Shape]:
    """{input: its shape}. Sizes of one name are equal, so that one --shape may settle several inputs; axis 0 and every size
    that shares its name, or is called a batch, is 1. Raises BadModel naming all inputs that stay open, with the flags."""
    dims: dict[str, list[Dim] | None] = {}
    for value in values:
        kind = value.type.tensor_type
        dims[value.name] = [_dim(d) for d in kind.shape.dim] if kind.HasField("shape") else None
    sizes: dict[str, int] = {}
    for name, shape in given.items():
        own = dims[name]
        if (own is not None and len(shape) != len(own)) or any(n < 1 for n in shape):
            hint = "give positive numbers" if own is None else f"give {len(own)} positive numbers"
            raise BadModel(f"--shape {name}={commas(shape)} does not fit the file's [{commas(_shown(own or []))}]", hint)
        sizes |= {d: int(n) for d, n in zip(own or [], shape, strict=False) if isinstance(d, str)}
    for own in dims.values():
        for axis, d in enumerate(own or []):
            if isinstance(d, str) and (axis == 0 or d.lower().startswith("batch") or d.lower() in BATCHES):
                sizes.setdefault(d, 1)
    result: dict[str, Shape] = {}
    open_ones: list[tuple[str, str, str]] = []
    for value in values:
        name, own = value.name, dims[value.name]
        if name in given:
            result[name] = tuple(int(n) for n in given[name])
            continue
        settled = [sizes.get(d, d) if isinstance(d, str) else d for d in own or []]
        if settled and settled[0] in (None, 0):
            settled[0] = 1
        if own is not None and all(isinstance(d, int) and d > 0 for d in settled):
            result[name] = tuple(int(d) for d in settled if isinstance(d, int))
            continue
        shown = "unknown" if own is None else f"[{commas(_shown(own))}]"
        what = "a zero-size axis:" if 0 in settled else "a dynamic shape"
        open_ones.append((name, f"input '{name}' has {what} {shown}", f"--shape {name}={_example(settled)}"))
    if open_ones:
        flags = " ".join(flag for _, _, flag in open_ones)
        text = "\n  ".join(text for _, text, _ in open_ones)
        raise OpenShape(text, f"fix it with {flags}, or the sizes you need", [name for name, _, _ in open_ones])
    return result


def expected_tensors(model: onnx.ModelProto, known: Mapping[str, Shape]) -> dict[str, Tensor]:
    """{value: shape and dtype} by ONNX's shape inference, for values of known sizes. known: shapes of the graph's inputs."""
    if model.ByteSize() > LARGEST:
        return {}
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    for value in asked.graph.input:
        if value.name in known:
            kept = value.type.tensor_type.elem_type
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kept, known[value.name]))
    try:
        told = onnx.shape_inference.infer_shapes(asked, data_prop=True).graph.value_info
    except Exception:  # it is only asked for a better message
        return {}
    found = {}
    for value in told:
        kind = value.type.tensor_type
        dims = [_dim(d) for d in kind.shape.dim]
        if kind.elem_type and kind.HasField("shape") and all(isinstance(d, int) and d > 0 for d in dims):
            dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
            dtype = NARROW.get(dtype, dtype)
            if dtype in NUMPY_DTYPES:
                found[value.name] = Tensor(value.name, tuple(d for d in dims if isinstance(d, int)), dtype)
    return found


def _dim(d: onnx.TensorShapeProto.Dimension) -> Dim:
    if d.HasField("dim_value") and d.dim_value >= 0:
        return int(d.dim_value)
    return d.dim_param or None


def _shown(dims: Sequence[Dim]) -> list[Any]:
    return ["?" if d is None else d for d in dims]


def _example(dims: Sequence[Dim]) -> str:
    """Sizes to write: of an image for four axes, of a short sequence for fewer."""
    usual = (1, 3, 96, 96) if len(dims) in (0, 4) else (1, *[16] * (len(dims) - 1))
    return commas([d if isinstance(d, int) and d > 0 else n for d, n in zip(dims or [None] * 4, usual, strict=True)])


def commas(values: Sequence[Any]) -> str:
    return ",".join(str(v) for v in values)
