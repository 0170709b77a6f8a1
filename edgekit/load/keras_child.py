"""The child process that converts a Keras model or a SavedModel to TFLite. Run as a script: keras_child.py JOB OUT.

JOB is a JSON file {source, shapes, trust}; model.tflite and answer.json appear in the folder OUT. Only this file needs
TensorFlow, and it imports nothing of edgekit, so that any Python with TensorFlow can run it.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

INSTALL = 'pip install "edgekit[keras]", or name an interpreter that has it: --python PATH'
# Where a configuration may take classes and functions from. Others would be imported because the file says so.
KNOWN_MODULE = re.compile(
    r"(builtins|(keras|tf_keras|tensorflow\.keras|tensorflow\.python\.keras)(\.src)?(\.engine)?"
    r"(\.(layers|models|initializers|regularizers|constraints|optimizers|losses|metrics|activations|ops|dtype_policies"
    r"|mixed_precision|quantizers|backend|Sequential|Functional)(\.\w+)*)?)"
)
# Operators that run Python or touch files while a SavedModel is restored or its constants are folded.
CODE_OPERATORS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "LoadLibrary"}


class Refusal(Exception):
    """What the user must know: the kind of edgekit error, the message, and how to fix it; inputs: those of unknown sizes."""

    def __init__(self, message: str, hint: str = "", kind: str = "BadModel", inputs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message, self.hint, self.kind, self.inputs = message, hint, kind, list(inputs)


def main(job_path: str, out: str) -> None:
    """Write OUT/answer.json: {"ok": true, "notes"} or {"ok": false, "kind", "message", "hint"}."""
    warnings.simplefilter("ignore")
    try:
        answer = {"ok": True} | convert(json.loads(Path(job_path).read_text("utf-8")), Path(out) / "model.tflite")
    except Refusal as refusal:
        answer = {"ok": False, "kind": refusal.kind, "message": refusal.message, "hint": refusal.hint, "inputs": refusal.inputs}
    Path(out, "answer.json").write_text(json.dumps(answer), "utf-8")


def convert(job: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Load, fix the shapes, convert; {notes}."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise Refusal(f"Keras models need TensorFlow: {error}", INSTALL, "MissingTool") from None
    tf.get_logger().setLevel("ERROR")
    source, shapes = Path(job["source"]), job["shapes"]
    if source.is_dir():
        function, owner, note = saved_model(source, shapes, job["trust"])
    else:
        function, owner, note = keras_model(source, shapes, job["trust"])
    path.write_bytes(to_tflite(function, owner, source))
    return {"notes": [note]}


# Keras files ---------------------------------------------------------------------------------------------------------


def keras_model(source: Path, shapes: Mapping[str, Sequence[int]], trust: bool) -> tuple[Any, Any, str]:
    """(concrete function with a fixed batch of 1, the model, a note) of a .keras or .h5 file."""
    config, version = configuration(source)
    if not trust and (found := sorted(set(code_in(config)))):
        raise Refusal(
            f"'{source}' holds what runs code when it is loaded: {', '.join(found)}",
            "if you trust the file, add --trust; else rebuild the model with Keras' own layers",
        )
    if version.startswith("3"):
        import keras
    else:
        try:
            import tf_keras as keras
        except ImportError:
            raise Refusal(
                f"'{source}' was saved by Keras {version or '2'}, which needs tf-keras", INSTALL, "MissingTool"
            ) from None
    try:
        model = keras.models.load_model(source, compile=False, safe_mode=not trust)
    except Exception as error:  # whatever the layers' constructors raise
        raise Refusal(
            f"Keras {keras.__version__} cannot load '{source}': {first_line(error)}", "load it in Keras to see why"
        ) from None
    if any(getattr(layer, "stateful", False) is True and hasattr(layer, "cell") for layer in walk(model)):
        raise Refusal(f"'{source}' has stateful recurrent layers", "build it with stateful=False and load the same weights")
    function = traced(model, source, shapes)
    if version.startswith("3"):  # whose variables the converter does not see: constants from here on
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        function = convert_variables_to_constants_v2(function, lower_control_flow=False)
    return function, model, f"Keras {version or 'of unknown version'}, by TensorFlow's converter"


def configuration(source: Path) -> tuple[Any, str]:
    """(the model's configuration, the version of Keras that saved it)."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            try:
                config = json.loads(archive.read("config.json"))
                version = json.loads(archive.read("metadata.json")).get("keras_version", "3")
            except (KeyError, ValueError, zipfile.BadZipFile):
                raise Refusal(
                    f"'{source}' is no whole .keras archive", "save the model again: model.save('model.keras')"
                ) from None
        return config, str(version)
    import h5py

    try:
        with h5py.File(source, "r") as file:
            config, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "")
    except OSError:
        raise Refusal(f"'{source}' is a damaged HDF5 file", "the copy or download failed; fetch it again") from None
    if config is None:
        raise Refusal(f"'{source}' holds weights without the network", "save the whole model: model.save('model.keras')")
    try:
        return json.loads(config), version if isinstance(version, str) else version.decode()
    except ValueError:
        raise Refusal(
            f"the configuration in '{source}' is damaged", "save the model again: model.save('model.keras')"
        ) from None


def code_in(config: Any) -> Iterator[str]:
    """What in a configuration would run code of the file's, or import what the file names."""
    if isinstance(config, list):
        for item in config:
            yield from code_in(item)
    elif isinstance(config, dict):
        kind, inner = config.get("class_name"), config.get("config")
        label = f" '{inner['name']}'" if isinstance(inner, dict) and "name" in inner else ""
        if kind == "Lambda":
            yield f"Lambda layer{label}"
        elif kind == "__lambda__":
            yield "a Python lambda"
        module = config.get("module")
        if isinstance(module, str) and "class_name" in config and not KNOWN_MODULE.fullmatch(module):
            yield f"{module}.{kind}{label}"
        registered = config.get("registered_name")
        if isinstance(registered, str) and ">" in registered and not registered.startswith(("keras>", "Keras>", "tf_keras>")):
            yield f"custom class {registered}{label}"
        for item in config.values():
            yield from code_in(item)


def walk(model: Any) -> Iterator[Any]:
    """The layers, those inside of models and wrappers too."""
    for layer in getattr(model, "layers", []):
        yield layer
        yield from walk(layer)
        for part in ("layer", "forward_layer", "backward_layer"):
            if hasattr(layer, part):
                yield getattr(layer, part)


def traced(model: Any, source: Path, shapes: Mapping[str, Sequence[int]]) -> Any:
    """The model's inference as a concrete function of tensors of fixed shape, named as its inputs and outputs are."""
    import tensorflow as tf

    inputs = model.inputs
    if inputs is None:
        raise Refusal(f"'{source}' does not say the shape of its inputs", "build the model before saving it, with keras.Input")
    names = unique([x.name.split(":")[0].split("/")[0] for x in inputs])
    fixed = fixed_shapes(dict(zip(names, (list(x.shape) for x in inputs), strict=True)), shapes)
    specs = [tf.TensorSpec(fixed[n], x.dtype, name=n) for n, x in zip(names, inputs, strict=True)]
    outputs = unique([re.sub(r"\W", "_", n) for n in output_names(model)])

    # As the model takes them: one tensor, a list, a dict. Keras 3 keeps that to itself.
    struct = getattr(model, "_inputs_struct", None)
    struct = struct if struct is not None else getattr(model, "_nested_inputs", None)
    struct = struct if struct is not None else inputs if len(inputs) > 1 else inputs[0]

    def inference(*tensors: Any) -> Any:
        made = model(tf.nest.pack_sequence_as(struct, list(tensors)), training=False)
        flat = tf.nest.flatten(made)
        return dict(zip(outputs if len(outputs) == len(flat) else [f"output_{i}" for i in range(len(flat))], flat, strict=True))

    try:
        return tf.function(inference, input_signature=specs).get_concrete_function()
    except Exception as error:  # a layer that needs more than its inputs' shapes
        raise Refusal(
            f"'{source}' does not run on inputs of {fixed}: {first_line(error)}", "give other sizes with --shape"
        ) from None


def output_names(model: Any) -> list[str]:
    """The names of the layers that make the outputs, as Keras itself lists them."""
    return [str(name) for name in getattr(model, "output_names", None) or ["output"]]


def unique(names: Sequence[str]) -> list[str]:
    made: list[str] = []
    for name in names:
        count = sum(m == name or m.rpartition("_")[0] == name for m in made)
        made.append(f"{name}_{count}" if name in made else name)
    return made


def fixed_shapes(declared: Mapping[str, list[Any]], given: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Static shapes: the batch is 1 unless given. Raises Refusal for unknown names and for dynamic axes that nobody fixed."""
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise Refusal(f"no input is named {', '.join(unknown)}", f"inputs are: {', '.join(declared)}")
    result, missing = {}, {}
    for name, shape in declared.items():
        if name in given:
            wanted = [int(n) for n in given[name]]
            if len(wanted) != len(shape) or any(n is not None and n != w for n, w in zip(shape, wanted, strict=False)):
                raise Refusal(f"input '{name}' is {shape}, cannot be {wanted}")
            result[name] = wanted
        elif any(n is None for n in shape[1:]):
            missing[name] = f"--shape {name}=" + ",".join("?" if n is None else str(n) for n in [1, *shape[1:]])
        else:
            result[name] = [1 if n is None else int(n) for n in shape]
    if missing:
        raise Refusal("the model has dynamic input axes", "fix them: " + " ".join(missing.values()), inputs=list(missing))
    return result


# SavedModels ---------------------------------------------------------------------------------------------------------


def saved_model(source: Path, shapes: Mapping[str, Sequence[int]], trust: bool) -> tuple[Any, Any, str]:
    """(concrete function with a fixed batch of 1, the restored object, a note) of a SavedModel's serving signature."""
    import tensorflow as tf

    if not trust and (found := sorted(operators_of(source) & CODE_OPERATORS)):
        raise Refusal(
            f"'{source}' holds operators that run code or touch files: {', '.join(found)}",
            "if you trust the model, add --trust; else export it without them",
        )
    try:
        restored = tf.saved_model.load(str(source))
    except Exception as error:  # missing variables, unknown operators: the loader raises many kinds
        raise Refusal(f"TensorFlow cannot load '{source}': {first_line(error)}", "export the SavedModel again") from None
    signatures = dict(restored.signatures)
    if not signatures:
        raise Refusal(
            f"'{source}' has no signature", "export it with one: model.export(folder), or tf.saved_model.save(..., signatures=)"
        )
    key = "serving_default" if "serving_default" in signatures else next(iter(signatures))
    if key != "serving_default" and len(signatures) > 1:
        raise Refusal(f"'{source}' has the signatures {', '.join(signatures)}", "export it with one named serving_default")
    signature = signatures[key]
    specs = dict(signature.structured_input_signature[1])
    fixed = fixed_shapes({n: axes_of(s, n) for n, s in specs.items()}, shapes)
    names = list(specs)

    def inference(*tensors: Any) -> Any:
        return signature(**dict(zip(names, tensors, strict=True)))

    wanted = [tf.TensorSpec(fixed[n], specs[n].dtype, name=n) for n in names]
    try:
        function = tf.function(inference, input_signature=wanted).get_concrete_function()
        if any(op.startswith("TensorList") for op in operators_of(source)):  # a recurrent layer, of any batch
            function = with_static_lists(function, sorted(signature.structured_outputs))
        return function, restored, f"SavedModel signature {key}"
    except Exception as error:  # shapes that do not fit
        raise Refusal(
            f"'{source}' does not run on inputs of {fixed}: {first_line(error)}", "give other sizes with --shape"
        ) from None


def with_static_lists(function: Any, results: Sequence[str]) -> Any:
    """The function with constants for variables, its lists of tensors made for a batch of 1: the converter lowers loops
    over lists only where the elements' shape is static. results: the outputs' names, in the function's order."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
        held = {n.name: n for n in nodes if n.op == "Const"}
        for node in nodes:
            for name in node.input if node.op.startswith("TensorList") else ():
                constant = held.get(name.split(":")[0])
                if constant is None:
                    continue
                value = tf.make_ndarray(constant.attr["value"].tensor)
                if value.ndim == 1 and value.size and value[0] == -1 and (value[1:] > 0).all():
                    value[0] = 1
                    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    names = [x.name for x in frozen.inputs]
    outputs = [y.name for y in frozen.outputs]

    def again(*tensors: Any) -> Any:
        given = dict(zip(names, tensors, strict=True))
        made = tf.graph_util.import_graph_def(graph, input_map=given, return_elements=outputs)
        return dict(zip(results, made, strict=True))

    specs = [tf.TensorSpec(x.shape, x.dtype, name=x.name.split(":")[0]) for x in frozen.inputs]
    return tf.function(again, input_signature=specs).get_concrete_function()


def axes_of(spec: Any, name: str) -> list[Any]:
    if spec.shape.rank is None:
        raise Refusal(f"input '{name}' has no rank", "export the model with an input of known rank")
    return spec.shape.as_list()  # type: ignore[no-any-return]


def operators_of(source: Path) -> set[str]:
    """The names of all operators in the file, those of its functions too."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    proto = SavedModel()
    try:
        proto.ParseFromString((source / "saved_model.pb").read_bytes())
    except Exception:  # protobuf's DecodeError
        raise Refusal(f"'{source / 'saved_model.pb'}' is damaged", "export the SavedModel again") from None
    graphs = [meta.graph_def for meta in proto.meta_graphs]
    return {n.op for g in graphs for nodes in (g.node, *(f.node_def for f in g.library.function)) for n in nodes}


# Conversion ----------------------------------------------------------------------------------------------------------


def to_tflite(function: Any, owner: Any, source: Path) -> bytes:
    """Float TFLite. Operators that TFLite has not become custom ones, so that the reader can name all of them."""
    import tensorflow as tf

    failure: Exception | None = None
    for sets in ([tf.lite.OpsSet.TFLITE_BUILTINS], [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], owner)
        converter.target_spec.supported_ops = sets
        converter._experimental_lower_tensor_list_ops = True
        try:
            return bytes(converter.convert())
        except Exception as error:  # the converter raises ConverterError and bare exceptions
            failure = failure or error
    raise Refusal(
        f"TensorFlow's converter cannot convert '{source}': {first_line(failure)}", "rewrite the model without what it names"
    )


def first_line(error: BaseException | None) -> str:
    """The error's kind and what it says; of an error inside of traced code the last line, which says it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = lines[-1] if lines[0].startswith("in user code") else lines[0]
    return f"{type(error).__name__}: {text}"[:400]


if __name__ == "__main__":
    # Beside this file lie modules named torch, keras and onnx.
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != here]
    main(sys.argv[1], sys.argv[2])
