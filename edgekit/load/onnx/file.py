"""From bytes to a checked ModelProto: damage, external data, opset and local functions are dealt with here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from edgekit.errors import BadModel, Unsupported
from edgekit.graph import Array
from edgekit.load.onnx.live import in_order

OLDEST_OPSET = 7
OWN_DOMAIN = "edgekit"  # of the functions that edgekit itself writes into a model
RESAVE = "save the model again, and check it with `python -m onnx.checker` or Netron"


def read_model(source: str | Path | bytes) -> tuple[onnx.ModelProto, str, Path | None]:
    """(model, name, its folder or None for bytes). Raises BadModel for what is not a whole ONNX file."""
    if isinstance(source, bytes):
        data, where, folder = source, "the ONNX bytes", None
    else:
        path = Path(source)
        where, folder = f"'{path}'", path.resolve().parent
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadModel(f"cannot read {where}: {error.strerror}", "give the path of an ONNX file") from None
    if not data:
        raise BadModel(f"{where} is empty", "the copy or download failed; fetch it again")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # protobuf's DecodeError; its module ships no types
        raise BadModel(f"{where} is not an ONNX model, or is cut short", RESAVE) from None
    if not model.HasField("graph") or not model.graph.output:
        raise BadModel(f"{where} holds no ONNX graph", RESAVE)
    if not model.opset_import:
        raise BadModel(f"{where} names no operator set", RESAVE)
    if not _readable(model.graph):
        raise BadModel(f"{where} is damaged: a name in it is no text", RESAVE)
    order = in_order(model.graph.node)
    if order != sorted(order):
        nodes = [model.graph.node[i] for i in order]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    name = model.graph.name if isinstance(source, bytes) else Path(source).stem
    return model, name or "model", folder


def _readable(message: Any) -> bool:
    """Whether every name in a message and what it holds is UTF-8: protobuf hands out any other as bytes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING and field.name != "doc_string":
            if any(isinstance(text, bytes) for text in ([value] if isinstance(value, (str, bytes)) else value)):
                return False
        elif field.type == field.TYPE_MESSAGE and not all(map(_readable, [value] if hasattr(value, "ListFields") else value)):
            return False
    return True


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operator set."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        foreign = [n for n in model.graph.node if n.domain not in ("", "ai.onnx")]
        if foreign:
            fix = "export with standard ONNX operators only"
            raise Unsupported(
                "reading ONNX",
                [(f"{n.op_type} '{n.name or ''.join(n.output[:1])}'", f"it belongs to '{n.domain}'", fix) for n in foreign],
            )
        raise BadModel("the model imports no version of the standard ONNX operators", RESAVE)
    return int(max(versions))


def modernize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Local functions inlined; an opset below 7 converted by ONNX's own converter."""
    if model.functions:
        from onnx import inliner

        # edgekit's own are operators of later opsets, read whole.
        own = [(f.domain, f.name) for f in model.functions if f.domain.startswith(OWN_DOMAIN)]
        model = inliner.inline_selected_functions(model, own, exclude=True)
    version, newest = opset_of(model), onnx.defs.onnx_opset_version()
    if version > newest:  # its operators may mean something else: never guess
        raise BadModel(
            f"opset {version} is newer than the installed onnx {onnx.__version__} knows ({newest})",
            f"export it with opset {newest} or lower, or update onnx",
        )
    if version < OLDEST_OPSET:
        from onnx import version_converter

        model = _channel_slopes(_declared(model))
        try:
            # Step by step: later steps want shapes that are known only once the earlier ones are done.
            for step in (*range(version + 1, OLDEST_OPSET + 1), 13):
                model = _inferred(version_converter.convert_version(model, step))
            return model
        except Exception as error:  # the converter raises bare RuntimeErrors
            # Its messages begin with a place in its own source code: "/…/helper.cc:73: assert…: Assertion `…` failed: why".
            why = str(error).strip().rpartition("failed: ")[2]
            raise BadModel(
                f"opset {version} is too old, and converting it failed: {why}", "export it with opset 13 or later"
            ) from None
    return model


def _declared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Initializers among the inputs, as the first versions of the format have them and the converter wants them."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    known = {value.name for value in model.graph.input}
    result.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer if t.name not in known
    )
    return _inferred(result)


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that can be told; what cannot, the converter may not need."""
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:
        return model


def _channel_slopes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Slopes of PRelu in the shape of today's operator: before opset 7 a vector belonged to axis 1, and ONNX's converter
    leaves it as it is, where it would broadcast along the last axis."""
    slopes = {node.input[1] for node in model.graph.node if node.op_type == "PRelu" and len(node.input) > 1}
    if not slopes:
        return model
    ranks = {
        v.name: len(v.type.tensor_type.shape.dim)
        for graph in [onnx.shape_inference.infer_shapes(model).graph]
        for v in (*graph.input, *graph.value_info)
        if v.type.tensor_type.HasField("shape")
    }
    held = {t.name: t for t in model.graph.initializer}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for i, node in enumerate(result.graph.node):
        slope = held.get(node.input[1]) if node.op_type == "PRelu" and len(node.input) > 1 else None
        rank = ranks.get(node.input[0], 0)
        if slope is not None and len(slope.dims) == 1 and slope.dims[0] > 1:
            if not rank:
                raise BadModel(
                    f"PRelu '{node.name or node.output[0]}' of opset {opset_of(model)} has an input of unknown rank", RESAVE
                )
            made = f"{slope.name}/channels_{i}"
            column = numpy_helper.from_array(numpy_helper.to_array(slope).reshape(-1, *[1] * (rank - 2)), made)
            result.graph.initializer.append(column)
            result.graph.input.append(onnx.helper.make_tensor_value_info(made, slope.data_type, column.dims))
            node.input[1] = made
    return result


def tensor_array(tensor: onnx.TensorProto, folder: Path | None) -> Array:
    """The tensor's values. External data is read only from inside the model's own folder."""
    if uses_external_data(tensor):
        _check_location(tensor, folder)
    try:
        return numpy_helper.to_array(tensor, base_dir="" if folder is None else str(folder))
    except Exception as error:  # wrong byte counts, missing files, unknown types: all mean a damaged file
        raise BadModel(f"initializer '{tensor.name}' cannot be read: {error}", RESAVE) from None


def dense_array(sparse: onnx.SparseTensorProto, folder: Path | None) -> Array:
    """A sparse tensor's values among zeros. Its indices are places in the flat array, or one row of places a value."""
    values, places = tensor_array(sparse.values, folder).reshape(-1), tensor_array(sparse.indices, folder)
    shape = tuple(int(n) for n in sparse.dims)
    made = np.zeros(shape, values.dtype)
    try:
        made[tuple(places.T) if places.ndim == 2 else np.unravel_index(places, shape)] = values
    except (IndexError, ValueError) as error:
        raise BadModel(f"sparse tensor '{sparse.values.name}' is damaged: {error}", RESAVE) from None
    return made


def _check_location(tensor: onnx.TensorProto, folder: Path | None) -> None:
    location = ExternalDataInfo(tensor).location
    if folder is None:
        raise BadModel(f"initializer '{tensor.name}' lies in another file ('{location}')", "load the model by its path")
    inside = (folder / location).resolve()
    if Path(location).is_absolute() or not inside.is_relative_to(folder):
        raise BadModel(f"initializer '{tensor.name}' points outside the model's folder: '{location}'", RESAVE)
    if not inside.is_file():
        raise BadModel(f"initializer '{tensor.name}' lies in '{location}', which is missing", "put it beside the model")
