"""Files of other tools: what each is, and the next thing to do, without opening what would run code."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from edgekit.errors import BadModel
from edgekit.load import recognise

FROZEN = b"\n+\n\x05input\x12\x0bPlaceholder*\x0b\n\x05dtype\x12\x020\x01"


@pytest.mark.parametrize(
    ("name", "head", "what", "fix"),
    [
        ("m.ort", b"\x18\0\0\0ORTM", "ONNX Runtime's own format", "the .onnx file"),
        ("m.engine", b"ftrt", "TensorRT engine", "start from"),
        ("m.mlmodel", b"\x08\x04\x12 ", "Core ML", "start from"),
        ("m.nb", b"\x02\0", "Paddle Lite", "paddle2onnx --model_dir"),
        ("inference.pdmodel", b"\n\xc0\x01\x08\0", "Paddle model", "paddle2onnx --model_dir"),
        ("m.param", b"7767517\n3 3\n", "ncnn", "start from"),
        ("m.ncnn", b"\0\0", "ncnn", "start from"),
        ("graph.pb", FROZEN, "frozen TensorFlow graph", "tf2onnx.convert --graphdef"),
        ("saved_model.pb", b"\x08\x01\x12", "without its variables", "give its folder"),
        ("m.safetensors", (100).to_bytes(8, "little") + b'{"a": 1}', "without the network", "--weights"),
        ("old.pth", b"\x80\x02}q", "never loaded", "--weights"),
        ("m.onnx", b"<!DOCTYPE html>", "web page", "fetch"),
        ("m.onnx", b"version https://git-lfs.github.com/spec/v1", "Git LFS", "git lfs pull"),
        ("m.tflite.gz", b"\x1f\x8b\x08", "gzip", "gunzip"),
        ("m.gguf", b"GGUF\x03", "language model", "PyTorch"),
        ("x.npy", b"\x93NUMPY", "an array", "--data"),
    ],
)
def test_each_is_named_with_what_to_do(name: str, head: bytes, what: str, fix: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(head + bytes(64))
    with pytest.raises(BadModel, match=what) as caught:
        recognise(tmp_path / name)
    assert fix in caught.value.hint


def test_weights_and_pickled_modules_are_told_apart(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 2))
    torch.save({"epoch": 3, "model": net.state_dict()}, tmp_path / "best.pth")
    torch.save(net, tmp_path / "whole.pt")
    with pytest.raises(BadModel, match=r"weights \(0\.weight, 0\.bias…\), without the network") as caught:
        recognise(tmp_path / "best.pth")
    assert f"--weights {tmp_path / 'best.pth'}" in caught.value.hint
    with pytest.raises(BadModel, match=r"a pickled module \(torch\.nn\.modules\.container\.Sequential") as caught:
        recognise(tmp_path / "whole.pt")
    assert "never unpickled" in caught.value.hint


@pytest.mark.parametrize(
    ("inner", "what"),
    [
        (["face_detector.tflite", "landmarks.tflite"], "a bundle of face_detector.tflite, landmarks.tflite"),
        (["Data/com.apple.CoreML/model.mlmodel"], "Core ML"),
        (["MAR-INF/MANIFEST.json"], "TorchServe"),
        (["a.npy"], "arrays"),
    ],
)
def test_archives(inner: list[str], what: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.task", "w") as archive:
        for name in inner:
            archive.writestr(name, b"x")
    with pytest.raises(BadModel, match=what):
        recognise(tmp_path / "m.task")


@pytest.mark.parametrize(
    ("inner", "what", "fix"),
    [
        ("inference.pdmodel", "Paddle model", "paddle2onnx --model_dir"),
        ("best.onnx", "holds best.onnx", "best.onnx"),
        ("model.json", "TensorFlow.js", "start from"),
        ("notes.txt", "no SavedModel", "give an .onnx"),
    ],
)
def test_folders(inner: str, what: str, fix: str, tmp_path: Path) -> None:
    (tmp_path / inner).write_bytes(b"x")
    with pytest.raises(BadModel, match=what) as caught:
        recognise(tmp_path)
    assert fix in caught.value.hint
