"""The child process that runs a user's PyTorch file and exports it to ONNX. Run as a script: torch_child.py JOB OUT.

JOB is a JSON file {source, function, weights, args, shapes}; model.onnx and answer.json appear in the folder OUT. Only this
file needs torch, and it imports nothing of edgekit, so that any Python with torch can run it.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import itertools
import json
import os
import re
import sys
import traceback
import types
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

DEFAULT_NAMES = ("build", "model")
# Members of a checkpoint that hold the weights, in order of preference.
CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params")


class Refusal(Exception):
    """What the user must know: the kind of edgekit error, the message, and how to fix it; inputs: those of unknown sizes."""

    def __init__(self, message: str, hint: str = "", kind: str = "BadModel", inputs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message, self.hint, self.kind, self.inputs = message, hint, kind, list(inputs)


def main(job_path: str, out: str) -> None:
    """Write OUT/answer.json: {"ok": true, "contract", "notes"} or {"ok": false, "kind", "message", "hint"}."""
    warnings.simplefilter("ignore")
    try:
        answer = {"ok": True} | export(json.loads(Path(job_path).read_text("utf-8")), Path(out) / "model.onnx")
    except Refusal as refusal:
        answer = {"ok": False, "kind": refusal.kind, "message": refusal.message, "hint": refusal.hint, "inputs": refusal.inputs}
    Path(out, "answer.json").write_text(json.dumps(answer), "utf-8")


def export(job: Mapping[str, Any], onnx_path: Path) -> dict[str, Any]:
    """Build, load weights, export; {contract, notes}."""
    try:
        import onnxscript  # noqa: F401
        import torch
    except ImportError as error:
        raise Refusal(
            f"PyTorch models need {error.name}, which is not installed", 'pip install "edgekit[torch]"', "MissingTool"
        ) from None
    source = Path(job["source"])
    if job.get("torchscript"):
        return export_script(source, job.get("shapes") or {}, onnx_path)
    if source.suffix == ".pt2":
        program = guarded(source, f"loading '{source}'", lambda: torch.export.load(source))
        to_onnx(program, (), {}, None, onnx_path, source)
        return {"contract": {}, "notes": []}
    # A file that draws its weights at random gives the same network each time.
    torch.manual_seed(0)
    module = import_file(source)
    net = build_module(module, source, job.get("function"), job.get("args") or {})
    notes = load_weights(net, Path(job["weights"])) if job.get("weights") else []
    net.eval()
    args, kwargs = example_inputs(module, net, source, job.get("shapes") or {})
    described = contract_of(module, source)
    to_onnx(net, args, kwargs, described, onnx_path, source)
    return {"contract": described or {}, "notes": notes}


def import_file(source: Path) -> types.ModuleType:
    """The user's file as a module; its folder and the working directory can be imported from."""
    sys.path.insert(0, str(source.resolve().parent))
    sys.path.append(os.getcwd())
    spec = importlib.util.spec_from_file_location(source.stem, source)
    if spec is None or spec.loader is None:
        raise Refusal(f"'{source}' is not a Python file", "give file.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.stem] = module
    loader = spec.loader
    guarded(source, f"running '{source}'", lambda: loader.exec_module(module))
    return module


def build_module(module: types.ModuleType, source: Path, function: str | None, args: Mapping[str, str]) -> Any:
    """The nn.Module that the file's function, class or variable gives."""
    from torch import nn

    name = function or default_name(module, source)
    target = getattr(module, name, None)
    if target is None:
        raise Refusal(f"'{source}' has no '{name}'", f"it has {listed(candidates(module))}")
    if isinstance(target, nn.Module):
        if args:
            raise Refusal(
                f"'{name}' in '{source}' is a module already, arguments {sorted(args)} cannot reach it", "name a function"
            )
        return target
    if not callable(target):
        raise Refusal(
            f"'{name}' in '{source}' is a {type(target).__name__}, not a function or module",
            f"use {listed(candidates(module))}",
        )
    values = {key: literal(text) for key, text in args.items()}
    signature = inspect.signature(target)
    try:
        signature.bind(**values)
    except TypeError as error:
        raise Refusal(f"'{name}{signature}' in '{source}': {error}", "give its parameters as --arg name=value") from None
    net = guarded(source, f"'{name}' of '{source}'", lambda: target(**values))
    if not isinstance(net, nn.Module):
        raise Refusal(f"'{name}' of '{source}' returned a {type(net).__name__}, not a torch.nn.Module", "return the network")
    return net


def default_name(module: types.ModuleType, source: Path) -> str:
    """`build` or `model`, or the only candidate. Raises Refusal naming all when there are several."""
    for name in DEFAULT_NAMES:
        if hasattr(module, name):
            return name
    found = candidates(module)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refusal(
            f"'{source}' defines no function or class that could build a network", "define build() -> torch.nn.Module"
        )
    raise Refusal(f"'{source}' defines {listed(found)}", f"say which builds the network: {source.name}:{found[0]}")


def candidates(module: types.ModuleType) -> list[str]:
    """Names in the file that may give an nn.Module, module classes and instances before functions."""
    from torch import nn

    first: list[str] = []
    rest: list[str] = []
    for name, value in vars(module).items():
        if name.startswith("_") or name in {"example_inputs", "data", "contract"}:
            continue
        if isinstance(value, nn.Module):
            first.append(name)
        elif inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == module.__name__:
            (first if not needed_parameters(value) else rest).append(name)
        elif inspect.isfunction(value) and value.__module__ == module.__name__ and not needed_parameters(value):
            rest.append(name)
    return first + rest if len(first) != 1 else first


def needed_parameters(target: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(target).parameters.values()
    return [p.name for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]


def listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "nothing of the kind"


def literal(text: str) -> Any:
    """A value of --arg: a Python literal, true/false, or the text itself."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# Weights -------------------------------------------------------------------------------------------------------------


def load_weights(net: Any, path: Path) -> list[str]:
    """Load a state dict (bare, Lightning's, with prefixes) into the module; notes on what was left out."""
    import torch

    given = {k: v for k, v in tensors_of(read_weights(path), path).items() if isinstance(v, torch.Tensor)}
    own = net.state_dict()
    state, prefix, others = strip_prefixes(given, own)
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    wrong = [f"{k} {list(v.shape)} for {list(own[k].shape)}" for k, v in state.items() if k in own and v.shape != own[k].shape]
    if missing or unexpected or wrong:
        parts = [("missing", missing), ("unexpected", unexpected), ("of another shape", wrong)]
        text = "".join(f"\n  {title} ({len(names)}): {shortened(names)}" for title, names in parts if names)
        raise Refusal(
            f"the weights in '{path}' do not fit the network:{text}", "check --arg values and that the file belongs to it"
        )
    net.load_state_dict(state, strict=False)
    notes = [f"prefix '{prefix}' taken off the weights' names"] if prefix else []
    return notes + ([f"weights not used ({len(others)}): {shortened(others)}"] if others else [])


def shortened(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def read_weights(path: Path) -> Any:
    """What a weights file holds. Nothing is unpickled but tensors and plain containers."""
    import torch

    if not path.is_file():
        raise Refusal(f"no weights file '{path}'", "check the path of --weights")
    resave = "load it where it was made and save the weights alone: torch.save(net.state_dict(), 'weights.pth')"
    try:
        if path.suffix == ".safetensors":
            try:
                from safetensors.torch import load_file
            except ImportError:
                raise Refusal("reading .safetensors needs safetensors", 'pip install "edgekit[torch]"', "MissingTool") from None
            return load_file(path)
        check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Refusal:
        raise
    except Exception as error:  # whatever a damaged or foreign file makes torch raise
        text = str(error)
        if "TorchScript" in text:
            raise Refusal(f"'{path}' is a TorchScript archive, not weights", resave) from None
        names = re.findall(r"GLOBAL ([\w.]+)", text)
        if names:
            raise Refusal(
                f"'{path}' holds pickled objects ({', '.join(dict.fromkeys(names))}), which are not loaded", resave
            ) from None
        first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
        raise Refusal(f"'{path}' cannot be read as weights: {first}", resave) from None


def check_sums(path: Path) -> None:
    """Refuse a zip file with a damaged record: torch reads its numbers as they are. PyTorch can be told to write no
    checksums; then none is right."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        wrong = [name for name in names if not intact(archive, name)]
    if wrong and len(wrong) < len(names):
        raise Refusal(
            f"'{path}' is damaged: the checksum of {shortened(wrong, 3)} is wrong",
            "the copy or download failed; fetch it again",
        )


def intact(archive: zipfile.ZipFile, name: str) -> bool:
    """Whether a record can be read and has its checksum."""
    try:
        with archive.open(name) as record:
            while record.read(1 << 20):
                pass
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return False
    return True


def tensors_of(loaded: Any, path: Path) -> dict[str, Any]:
    """The state dict inside what a file held."""
    import torch

    for _ in range(3):
        if not isinstance(loaded, Mapping):
            break
        if any(isinstance(v, torch.Tensor) for v in loaded.values()):
            return {str(k): v for k, v in loaded.items()}
        key = next((k for k in CHECKPOINT_KEYS if isinstance(loaded.get(k), Mapping)), None)
        if key is None:
            break
        loaded = loaded[key]
    holds = f"a dict of {shortened([str(k) for k in loaded])}" if isinstance(loaded, Mapping) else f"a {type(loaded).__name__}"
    raise Refusal(f"'{path}' holds no state dict but {holds}", "save net.state_dict()")


def strip_prefixes(given: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[dict[str, Any], str, list[str]]:
    """(weights named as the network's, the prefix taken off, names outside that prefix)."""
    best, prefix = dict(given), ""
    while not any(k in own for k in best):
        heads = {k.split(".", 1)[0] + "." for k in best if "." in k}
        scores = {h: sum(k.startswith(h) for k in best) for h in heads}
        fits = {
            h: sum(k.startswith(h) and any(o == k[len(h) :] or k.endswith("." + o) for o in own) for k in best) for h in heads
        }
        head = max(sorted(heads), key=lambda h: (fits[h], scores[h]), default="")
        if not head or not fits[head]:
            return dict(given), "", []
        best = {k[len(head) :]: v for k, v in best.items() if k.startswith(head)}
        prefix += head
    return best, prefix, [k for k in given if prefix and not k.startswith(prefix)]


# Inputs and contract -------------------------------------------------------------------------------------------------


def example_inputs(
    module: types.ModuleType, net: Any, source: Path, shapes: Mapping[str, Sequence[int]]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(positional, keyword) inputs: the file's example_inputs(), or zeros of the given shapes."""
    import torch

    parameters = inspect.signature(net.forward).parameters
    if shapes:
        unknown = [name for name in shapes if name not in parameters]
        if unknown:
            raise Refusal(f"the network has no input '{unknown[0]}'", f"its inputs are {listed(list(parameters))}", "BadConfig")
        ordered = [name for name in parameters if name in shapes]
        absent = [name for name in needed_parameters(net.forward) if name not in shapes]
        if absent:
            raise Refusal(f"no shape for input '{absent[0]}'", f"add --shape {absent[0]}=1,...", "BadConfig")
        return (), shaped_inputs(net, {name: tuple(int(n) for n in shapes[name]) for name in ordered})
    function = getattr(module, "example_inputs", None)
    if function is None:
        named = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        names = needed_parameters(net.forward) or named[:1]
        options = " ".join(f"--shape {name}=1,3,224,224" for name in names)
        hint = "add example_inputs() to the file" + (f", or {options} (with its sizes)" if names else "")
        raise Refusal(f"'{source}' does not say what the network's inputs look like", hint, inputs=names)
    given = guarded(source, f"example_inputs() of '{source}'", function)
    if isinstance(given, torch.Tensor):
        return (given,), {}
    if isinstance(given, Mapping):
        return (), dict(given)
    if isinstance(given, (tuple, list)) and given:
        return tuple(given), {}
    raise Refusal(
        f"example_inputs() of '{source}' returned a {type(given).__name__}", "return a tensor, a tuple or a dict of them"
    )


def contract_of(module: types.ModuleType, source: Path) -> dict[str, Any] | None:
    """The file's contract() as plain data, {"inputs": {name: fields}, "outputs": {name: fields}}; None without one."""
    function = getattr(module, "contract", None)
    if function is None:
        return None
    found = guarded(source, f"contract() of '{source}'", function)
    result: dict[str, Any] = {}
    for side in ("inputs", "outputs"):
        specs = getattr(found, side, None) if not isinstance(found, Mapping) else found.get(side, {})
        if not isinstance(specs, Mapping):
            raise Refusal(
                f"contract() of '{source}' returned a {type(found).__name__}", "return an edgekit.graph.InputContract"
            )
        result[side] = {str(name): fields_of(spec) for name, spec in specs.items()}
    return result


def fields_of(spec: Any) -> dict[str, Any]:
    """A spec's fields that are not at their default."""
    if isinstance(spec, Mapping):
        return {str(name): plain(value) for name, value in spec.items()}
    values = {f.name: (plain(getattr(spec, f.name)), f.default) for f in dataclasses.fields(spec)}
    return {name: value for name, (value, default) in values.items() if value != default}


def plain(value: Any) -> Any:
    """Numbers and rows of numbers as Python has them: contracts are often computed with NumPy or torch."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return type(value)(plain(v) for v in value) if type(value) in (list, tuple) else value


# Export --------------------------------------------------------------------------------------------------------------


def to_onnx(
    net: Any, args: tuple[Any, ...], kwargs: dict[str, Any], contract: Mapping[str, Any] | None, path: Path, source: Path
) -> None:
    """torch.onnx.export with the contract's names for inputs and outputs, where it has as many as there are."""
    import torch

    program = guarded(
        source,
        f"exporting '{source}'",
        lambda: torch.onnx.export(net, args, kwargs=kwargs or None, dynamo=True, verbose=False, optimize=True),
    )
    outputs = program.model.graph.outputs
    names = list((contract or {}).get("outputs", {})) or ["output"]
    if len(names) == len(outputs):
        for value, name in zip(outputs, names, strict=True):
            value.name = name
    names = list((contract or {}).get("inputs", {}))
    inputs = program.model.graph.inputs
    if len(names) == len(inputs) and {v.name for v in inputs} != set(names):
        for value, name in zip(inputs, names, strict=True):
            value.name = name
    program.save(path)


def export_script(source: Path, shapes: Mapping[str, Sequence[int]], path: Path) -> dict[str, Any]:
    """A TorchScript archive through the exporter that traces it (the newer one takes no TorchScript)."""
    import torch

    net = guarded(source, f"loading '{source}'", lambda: torch.jit.load(str(source), map_location="cpu"))  # type: ignore[no-untyped-call]
    net.eval()
    arguments = net.forward.schema.arguments[1:]  # the first is the module itself
    odd = [f"{a.name}: {a.type}" for a in arguments if str(a.type) != "Tensor" and not a.has_default_value()]
    if odd:
        raise Refusal(f"'{source}' takes {', '.join(odd)}", "script a module whose inputs are tensors")
    names = [a.name for a in arguments]
    unknown = [name for name in shapes if name not in names]
    if unknown:
        raise Refusal(f"the network has no input '{unknown[0]}'", f"its inputs are {listed(names)}", "BadConfig")
    absent = [a.name for a in arguments if a.name not in shapes and not a.has_default_value()]
    if absent:
        options = " ".join(f"--shape {name}=1,3,224,224" for name in absent)
        raise Refusal(
            f"TorchScript does not say what the inputs of '{source}' look like",
            f"add {options} (with its sizes)",
            inputs=absent,
        )
    given = names[: max((names.index(name) for name in shapes), default=-1) + 1]
    skipped = [name for name in given if name not in shapes]
    if skipped:
        raise Refusal(f"no shape for input '{skipped[0]}'", f"add --shape {skipped[0]}=1,...", "BadConfig")
    args = script_inputs(net, [tuple(int(n) for n in shapes[name]) for name in given], source)
    guarded(
        source,
        f"exporting '{source}'",
        lambda: torch.onnx.export(net, args, str(path), dynamo=False, input_names=given, do_constant_folding=True),
    )
    kinds = {str(a.dtype) for a in args} - {"torch.float32"}
    return {"contract": {}, "notes": ["TorchScript"] + (["its ids were taken to be int64"] if kinds else [])}


def shaped_inputs(net: Any, shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Zeros that the network runs on: float32, or int64 where only ids will do; float32 where nothing will (the export then
    says what is wrong, and where)."""
    import torch

    found, _ = zeros_that_run(lambda args: net(**dict(zip(shapes, args, strict=True))), list(shapes.values()))
    return dict(zip(shapes, found or [torch.zeros(tuple(shape)) for shape in shapes.values()], strict=True))


def zeros_that_run(
    run: Callable[[tuple[Any, ...]], Any], shapes: Sequence[Sequence[int]]
) -> tuple[tuple[Any, ...] | None, Exception | None]:
    """(zeros that `run` takes, each float32 or int64; what it raised of float32): an embedding says by failing that it
    takes ids. The first is None where nothing runs."""
    import torch

    first: Exception | None = None
    for kinds in itertools.product((torch.float32, torch.int64), repeat=min(len(shapes), 4)):
        padded = (*kinds, *[torch.float32] * (len(shapes) - len(kinds)))
        args = tuple(torch.zeros(tuple(shape), dtype=kind) for shape, kind in zip(shapes, padded, strict=True))
        try:
            with torch.no_grad():
                run(args)
        except Exception as error:  # whatever the network raises
            first = first or error
        else:
            return args, first
    return None, first


def script_inputs(net: Any, shapes: Sequence[Sequence[int]], source: Path) -> tuple[Any, ...]:
    """Zeros that the network runs on (see `zeros_that_run`)."""
    args, first = zeros_that_run(lambda given: net(*given), shapes)
    if args is not None:
        return args
    lines = [line.strip() for line in str(first).splitlines() if line.strip()]
    sizes = ", ".join(str(list(shape)) for shape in shapes)
    raise Refusal(
        f"'{source}' does not run on inputs of {sizes}: {lines[-1] if lines else first!r}", "check the --shape options"
    )


def guarded(source: Path, doing: str, action: Callable[[], Any]) -> Any:
    """action(), its errors told with the line of the user's own file they come from, without our traceback."""
    try:
        return action()
    except Refusal:
        raise
    except SyntaxError as error:
        raise Refusal(f"{doing}: {error.filename}:{error.lineno}: {error.msg}", "fix the file") from None
    except (Exception, SystemExit) as error:
        where = user_line(error)
        cause: BaseException = error
        while cause.__cause__ is not None:  # torch.export wraps what went wrong in advice about its own debugging
            cause = cause.__cause__
        text = str(cause).strip()
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        message = f"{doing}: {type(cause).__name__}" + (f": {first}" if first else "") + (f"\n  at {where}" if where else "")
        hint = "see whether the network runs in PyTorch with the same inputs"
        if doing.startswith("exporting") and source.suffix == ".py":
            hint += " (--shape gives zeros; example_inputs() in the file gives others)"
        elif where:
            hint = ""
        raise Refusal(message, hint) from None


def user_line(error: BaseException) -> str:
    """file:line of the deepest frame outside of installed libraries and this file, or what the message itself names."""
    own = Path(__file__).resolve()
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    named = [m for e in chain for m in re.findall(r'File "([^"]+)", line (\d+)', str(e))]
    frames = [(f.filename, str(f.lineno)) for e in reversed(chain) for f in traceback.extract_tb(e.__traceback__)]
    for file, line in [*reversed(named), *reversed(frames)]:
        inside = "site-packages" in file or "lib/python" in file or file.startswith("<")
        if not inside and Path(file).resolve() != own:
            return f"{file}:{line}"
    return ""


if __name__ == "__main__":
    # Beside this file lie modules named torch and onnx.
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != here]
    main(sys.argv[1], sys.argv[2])
