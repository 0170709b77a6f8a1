"""Files that are no model edgekit reads: what each seems to be, and the next thing to do with it."""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import Path

from edgekit.load.pt2 import TENSOR_GLOBALS, globals_of

KINDS = (
    "an .onnx, .tflite, .keras, .h5, .pt2 or TorchScript file, a SavedModel folder, "
    "or file.py:function that returns a torch.nn.Module"
)
PADDLE = (
    "convert its folder: pip install paddle2onnx, then paddle2onnx --model_dir FOLDER --model_filename inference.pdmodel "
    "--params_filename inference.pdiparams --save_file model.onnx"
)
BEFORE = "start from the ONNX, TFLite or PyTorch model that it was made of"
FETCH = "fetch the file itself"
# How a file begins -> (what it is, what to do).
STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x80", "a pickle, which is never loaded", ""),
    (b"<!DOCTYPE", "a web page: the download went wrong", FETCH),
    (b"<!doctype", "a web page: the download went wrong", FETCH),
    (b"<html", "a web page: the download went wrong", FETCH),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch it: git lfs pull"),
    (b"GGUF", "a GGUF file of a language model", "start from the model in PyTorch"),
    (b"ggml", "a GGML file of a language model", "start from the model in PyTorch"),
    (b"RKNN", "a model compiled for a Rockchip NPU", BEFORE),
    (b"7767517", "the layers of an ncnn model", BEFORE),
    (b"ftrt", "a TensorRT engine, made for one GPU", BEFORE),
    (b"ptrt", "a TensorRT engine, made for one GPU", BEFORE),
    (b"\x1f\x8b", "packed with gzip", "unpack it: gunzip FILE"),
    (b"BZh", "packed with bzip2", "unpack it: bunzip2 FILE"),
    (b"\xfd7zXZ", "packed with xz", "unpack it: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it: zstd -d FILE"),
    (b"7z\xbc\xaf", "packed with 7-Zip", "unpack it: 7z x FILE"),
    (b"Rar!", "packed with RAR", "unpack it: unrar x FILE"),
    (b"\x93NUMPY", "an array, not a model", "as data it goes with --data FILE"),
    (b"RIFF", "a sound or picture, not a model", "as data it goes with --data FOLDER"),
    (b"\x89PNG", "a picture, not a model", "as data it goes with --data FOLDER"),
    (b"\x7fELF", "a compiled program or library", BEFORE),
    (b"EDGETPU", "a model compiled for one accelerator", BEFORE),
)
# Suffix -> (what it is, what to do), where the content does not say.
SUFFIXES: dict[str, tuple[str, str]] = {
    ".onnx": ("not an ONNX file, or a damaged one", ""),
    **dict.fromkeys((".tflite", ".lite"), ("not a TFLite file, or a damaged one", "")),
    ".safetensors": ("a file of weights, without the network", "WEIGHTS"),
    **dict.fromkeys((".mlmodel", ".mlpackage", ".mlmodelc"), ("a Core ML model, from which nothing leads back", BEFORE)),
    **dict.fromkeys((".engine", ".plan", ".trt"), ("a TensorRT engine, made for one GPU", BEFORE)),
    ".nb": ("a Paddle Lite model, from which nothing leads back", "start from its Paddle model: " + PADDLE),
    **dict.fromkeys((".pdmodel", ".pdiparams", ".pdparams"), ("a Paddle model", PADDLE)),
    **dict.fromkeys((".ncnn", ".param"), ("an ncnn model", BEFORE)),
    ".mnn": ("an MNN model", BEFORE),
    **dict.fromkeys((".caffemodel", ".prototxt"), ("a Caffe model", "convert it to ONNX first, with caffe2onnx or the like")),
    ".rknn": ("a model compiled for a Rockchip NPU", BEFORE),
    ".dlc": ("a model compiled for Qualcomm's runtime", BEFORE),
    **dict.fromkeys((".hef", ".kmodel", ".bmodel", ".om", ".cvimodel", ".espdl"), ("a model compiled for one chip", BEFORE)),
    ".tmfile": ("a Tengine model", BEFORE),
    ".xml": ("perhaps an OpenVINO model", BEFORE),
    ".bin": ("bare numbers, or half of a model of two files", BEFORE),
    ".ckpt": ("a checkpoint of weights", "WEIGHTS"),
    **dict.fromkeys(
        (".index", ".meta"), ("a TensorFlow checkpoint", "save the model: model.export('FOLDER') or tf.saved_model.save")
    ),
    ".json": ("a description, without the weights", "save the whole model: model.save('model.keras')"),
    ".pb": (
        "a frozen TensorFlow graph, or part of a SavedModel",
        "give the SavedModel's folder; or convert the graph: python -m tf2onnx.convert --graphdef FILE --inputs NAME:0 "
        "--outputs NAME:0 --output model.onnx",
    ),
    ".npz": ("arrays, not a model", "as data they go with --data FILE"),
    ".csv": ("a table, not a model", "as data it goes with --data FILE"),
    ".ipynb": ("a notebook", "export the model in it: torch.onnx.export, model.save or model.export"),
}


def told(path: Path, head: bytes) -> tuple[str, str]:
    """(what a file that is no model seems to be, what to do) of its first bytes and its name."""
    if head[4:8] == b"ORTM":
        return "a model in ONNX Runtime's own format", "start from the .onnx file that it was converted from"
    if head[257:262] == b"ustar":
        return "packed with tar", f"unpack it: tar xf {path}"
    if path.name == "saved_model.pb":
        return "the graph of a SavedModel, without its variables", f"give its folder: {path.parent}"
    if looks_frozen(head):
        return SUFFIXES[".pb"][0], SUFFIXES[".pb"][1].replace("FILE", str(path))
    for start, what, fix in STARTS:
        if head.startswith(start):
            return what, (fix or weights_line(path)).replace("FILE", str(path))
    what, fix = SUFFIXES.get(path.suffix.lower(), ("no model that edgekit knows", ""))
    return what, weights_line(path) if fix == "WEIGHTS" else fix.replace("FILE", str(path)) or f"give {KINDS}"


def weights_line(path: Path) -> str:
    return f"give the code that builds the network besides: edgekit inspect file.py:function --weights {path}"


def looks_frozen(head: bytes) -> bool:
    """Does it begin with a NodeDef, as a GraphDef does: a name, then an operator's?"""
    return re.match(rb"\n.{1,3}?\n.[\x20-\x7e]{1,120}?\x12.[A-Z][A-Za-z0-9]{2,40}", head, re.DOTALL) is not None


def told_of_zip(path: Path, inner: list[str]) -> tuple[str, str]:
    """The same of a zip archive, by the names in it."""
    models = [n for n in inner if n.endswith((".tflite", ".onnx"))]
    if models:
        some = ", ".join(sorted(models)[:6])
        return f"a bundle of {some}", f"unpack it, and give one of them: python -m zipfile -e {path} FOLDER"
    if any(n.endswith(".mlmodel") for n in inner):
        return SUFFIXES[".mlmodel"]
    if any(n.startswith("MAR-INF/") or n == "MAR-INF/MANIFEST.json" for n in inner):
        return "an archive for TorchServe", f"unpack it, and give the model in it: python -m zipfile -e {path} FOLDER"
    if any(n.endswith(".npy") for n in inner):
        return SUFFIXES[".npz"][0], f"as data they go with --data {path}"
    return "a zip archive that holds no model", f"give {KINDS}"


def told_of_torch(path: Path) -> tuple[str, str]:
    """(what torch.save wrote, what to do): weights, or a whole module, which would run code to be read."""
    found, keys = set[str](), list[str]()
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            data = archive.read(name)
        found = {g for g in globals_of(data) if not TENSOR_GLOBALS.fullmatch(g)}
        texts = [str(a) for o, a, _ in pickletools.genops(data) if "UNICODE" in o.name]
        keys = [t for t in dict.fromkeys(texts) if re.fullmatch(r"([\w.]+\.)?(weight|bias|running_mean)", t)]
    except (OSError, StopIteration, ValueError, zipfile.BadZipFile, RuntimeError):
        pass  # what it holds stays unknown
    foreign = re.compile(r"torch\.nn\.modules|^(?!torch|collections|numpy|builtins|__builtin__)")
    modules = sorted(g.replace(" ", ".") for g in found if foreign.search(g))
    if modules:
        fix = (
            "it is never unpickled: where its code is, torch.save(net.state_dict(), 'weights.pth'); then "
            "edgekit inspect file.py:function --weights weights.pth"
        )
        return f"a pickled module ({', '.join(modules[:4])})", fix
    what = f"weights ({', '.join(keys[:3])}…), without the network" if keys else "weights or a pickled module"
    return what, weights_line(path)


def told_of_folder(path: Path) -> tuple[str, str]:
    """The same of a folder that is no SavedModel."""
    names = sorted(p.name for p in path.iterdir())
    if path.suffix in {".mlpackage", ".mlmodelc"}:
        return SUFFIXES[".mlmodel"]
    if any(n.endswith((".pdmodel", ".pdiparams")) for n in names):
        return "a Paddle model", PADDLE.replace("FOLDER", str(path))
    if any(n.endswith((".ckpt.index", ".index")) or n == "checkpoint" for n in names):
        return SUFFIXES[".index"]
    if "model.json" in names:
        return "a TensorFlow.js model", "start from the Keras model or SavedModel that it was made of"
    models = [n for n in names if n.endswith((".onnx", ".tflite", ".keras", ".h5", ".pt2"))]
    if models:
        return f"a folder that holds {', '.join(models[:6])}", f"give one of them: {path / models[0]}"
    return "a folder, and no SavedModel (it holds no saved_model.pb)", f"give {KINDS}"
