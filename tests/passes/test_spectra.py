"""Spectra in TFLite as two dense layers with a turn between: small, exact, and known again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.litert import run_litert
from edgekit.bench.tflm import run_tflm
from edgekit.export.tflite import export_tflite
from edgekit.graph import Graph
from edgekit.load.tflite import load_tflite
from edgekit.passes.legalize import legalize, sound
from edgekit.pipeline import prepare
from tests.ops.test_audio import sound as samples
from tests.ops.test_audio import stft

# samples, frame, hop, fft, form, dtype, filters
CASES = [
    (1200, 200, 80, 256, "POWER", "int16", True),
    (1200, 400, 160, 400, "MAGNITUDE", "float32", False),
    (700, 150, 150, 180, "COMPLEX", "float32", False),
    (515, 96, 32, 135, "POWER", "float32", False),
    (640, 128, 64, 128, "MAGNITUDE", "int16", True),
]


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "HELD", 0)


@pytest.mark.parametrize("case", CASES)
def test_engines_agree_and_the_file_becomes_a_fast_transform_again(case: tuple[int, int, int, int, str, str, bool]) -> None:
    graph = stft(*case)
    feed = samples(graph)
    wanted = reference.run(graph, feed)["y"]
    near = 1e-4 * np.abs(wanted).max()
    for engine, run in (("tflite", run_litert), ("tflm", run_tflm)):
        legal = legalize(graph, engine)
        assert "CONV_2D" not in [n.op for n in legal.nodes]
        file = export_tflite(legal, names=True)
        (theirs,) = run(file, [feed])
        np.testing.assert_allclose(theirs["y"], wanted, rtol=0, atol=near)
    again = prepare(load_tflite(file), "c")
    assert [n.op for n in again.nodes if n.op not in {"RESHAPE"}] == ["STFT"]
    x = again.inputs[0]  # samples of no contract are read as real numbers
    found = reference.run(again, {x: feed["x"].astype(again[x].dtype)})[again.outputs[0]]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=near)


def test_waves_take_a_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = stft(4000, 400, 160, 512, "POWER", "float32", False)
    small = len(export_tflite(legalize(graph, "tflite")))
    monkeypatch.setattr(sound, "HELD", 1 << 40)
    whole = legalize(graph, "tflite")
    assert "CONV_2D" in [n.op for n in whole.nodes]
    assert small * 2 < len(export_tflite(whole))


def test_a_prime_length_stays_a_convolution() -> None:
    assert [sound.factor(n) for n in (16, 400, 512, 135, 17, 1, 2)] == [4, 20, 32, 15, 1, 1, 1]
    assert "CONV_2D" in [n.op for n in legalize(stft(100, 12, 5, 17, "POWER", "float32", False), "tflite").nodes]


def test_another_turn_is_no_transform() -> None:
    """One wrong cosine, and it stays as it is."""

    def broken(graph: Graph) -> Graph:
        name = next(n for n in graph.tensors if "cosines" in n)
        data = graph[name].data
        assert data is not None
        data = data.copy()
        data.flat[5] += 0.1
        return replace(graph, tensors={**graph.tensors, name: replace(graph[name], data=data)})

    graph = legalize(stft(700, 100, 50, 128, "COMPLEX", "float32", False), "tflite")
    assert "STFT" in [n.op for n in prepare(graph, "c").nodes]
    assert "STFT" not in [n.op for n in prepare(broken(graph), "c").nodes]
