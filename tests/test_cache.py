"""The key of the cache: what figures depend on changes it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit import cache
from edgekit.config import ModelConfig
from edgekit.errors import BadData
from edgekit.report import RunReport
from edgekit.target import find_target
from tests.gate_project import network


def key(config: ModelConfig) -> str:
    return cache.key_of(config, [find_target("mcu")])


@pytest.fixture
def config(tmp_path: Path) -> ModelConfig:
    (tmp_path / "net.onnx").write_bytes(network().SerializeToString())
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 1, 12, 12), np.float32))
    return ModelConfig("net", str(tmp_path / "net.onnx"), tmp_path, data=str(tmp_path / "d.npz"))


def test_the_folder_is_no_part_of_it(config: ModelConfig, tmp_path: Path) -> None:
    before = key(config)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("net.onnx", "d.npz"):
        (tmp_path / name).rename(moved / name)
    assert key(replace(config, source=str(moved / "net.onnx"), data=str(moved / "d.npz"), folder=moved)) == before


def test_every_option_and_the_target_are(config: ModelConfig) -> None:
    changed = [
        replace(config, scheme="float32"),
        replace(config, observer="mse"),
        replace(config, io="float"),
        replace(config, samples=7),
        replace(config, split="20%"),
        replace(config, eval=config.data),
        replace(config, data=None),
        replace(config, args={"width": "2"}),
        replace(config, shapes={"x": (1, 1, 12, 12)}),
    ]
    keys = [key(c) for c in (config, *changed)] + [cache.key_of(config, [find_target("rpi")])]
    assert len(set(keys)) == len(keys)


def test_weights_beside_an_onnx_file_are(config: ModelConfig, tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "net.onnx", save_as_external_data=True, location="net.weights", size_threshold=0)
    weights = tmp_path / "net.weights"
    before, content = key(config), weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert key(config) != before


def test_what_lies_beside_a_python_file_is(config: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def data(): ...\n")
    code = replace(config, data=str(tmp_path / "model.py:data"))
    before = key(code)
    (tmp_path / "notes.md").write_text("no part of it")
    assert key(code) == before
    (tmp_path / "w.safetensors").write_bytes(b"1")
    assert key(code) != before


def test_every_file_of_a_folder_is(config: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "1.png").write_bytes(b"1")
    folder = replace(config, data=str(tmp_path / "images"))
    before = key(folder)
    (tmp_path / "images" / "cat").rename(tmp_path / "images" / "dog")
    assert key(folder) != before


def test_a_cache_that_cannot_be_written_is_none(run_report: RunReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "file" / "below"))
    cache.save("k", run_report)
    assert cache.load("k") is None


def test_there_and_back_and_the_oldest_go(run_report: RunReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "KEPT", 2)
    for name in ("a", "b", "c"):
        cache.save(name, run_report)
    assert cache.load("c") == run_report
    assert len(list((tmp_path / "check").iterdir())) == 2
    entry = tmp_path / "check" / "c.json"
    entry.rename(tmp_path / "check" / "d.json")
    assert cache.load("d") is None


def test_a_run_that_is_none_is_no_entry(run_report: RunReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path))
    cache.save("a", run_report)
    monkeypatch.setattr(cache, "from_json", lambda data, where: (_ for _ in ()).throw(BadData("of another time")))
    assert cache.load("a") is None
