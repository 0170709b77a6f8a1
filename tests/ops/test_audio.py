"""STFT and FILTER_BANK: against NumPy's transform, and the generated C against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.errors import BadModel
from edgekit.export.c import compile_c
from edgekit.graph import Graph, Node, Tensor, build, const
from edgekit.ops import infer, macs
from edgekit.passes.rebatch import rebatch


def stft(samples: int, frame: int, hop: int, fft: int, form: str, dtype: str, filters: bool, rows: int = 1) -> Graph:
    rng = np.random.RandomState(samples + fft)
    scale = 1 / 32768 if dtype == "int16" else 1.0
    parts = [Tensor("x", (rows, samples), dtype), const("window", (np.hanning(frame) * scale).astype(np.float32))]
    if filters:
        bank = np.maximum(rng.randn(5, fft // 2 + 1), 0).astype(np.float32)
        bank[:, : fft // 8] = 0
        bank[2] = 0
        parts.append(const("filters", bank))
    node = Node("STFT", tuple(t.name for t in parts), ("y",), {"hop": hop, "fft": fft, "form": form}, "stft")
    ((shape, kind),) = infer(node, parts)
    return build("sound", ["x"], ["y"], [node], [*parts, Tensor("y", shape, kind)])


def sound(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    x = np.random.RandomState(seed).uniform(-1, 1, graph["x"].shape)
    return {"x": (x * 32767).astype(np.int16) if graph["x"].dtype == "int16" else x.astype(np.float32)}


CASES = [
    (200, 64, 32, 64, "POWER", "int16", True, 2),
    (200, 60, 25, 64, "MAGNITUDE", "float32", False, 1),
    (100, 30, 30, 30, "COMPLEX", "float32", False, 2),  # 15 = 3 * 5
    (60, 21, 7, 21, "POWER", "float32", True, 1),  # an odd transform
    (40, 13, 5, 26, "COMPLEX", "int16", False, 1),  # a prime
    (700, 480, 200, 512, "POWER", "int16", True, 1),
    (3, 1, 1, 1, "POWER", "float32", False, 1),
    (4, 2, 1, 2, "MAGNITUDE", "float32", False, 1),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[3]}-{c[4]}-{c[5]}")
def test_c_is_numpys_transform(case: tuple[Any, ...]) -> None:
    graph = stft(*case)
    feeds = [sound(graph, seed) for seed in range(2)]
    model = compile_c(graph, "sound")
    for feed, made in zip(feeds, run_c(model.files, model.interface, feeds, sanitize=True), strict=True):
        wanted = reference.run(graph, feed)["y"]
        assert np.abs(made["y"] - wanted).max() <= 2e-5 * max(1.0, np.abs(wanted).max())


def test_meaning_is_the_definition() -> None:
    graph = stft(50, 12, 5, 16, "POWER", "float32", False)
    x, window = sound(graph)["x"][0], graph["window"].real()
    y = reference.run(graph, {"x": x[None]})["y"]
    t, k = np.arange(12), np.arange(9)
    for frame in range(8):
        values = (x[5 * frame : 5 * frame + 12] * window)[None] * np.exp(-2j * np.pi * np.outer(k, t) / 16)
        assert np.allclose(y[0, frame], np.abs(values.sum(axis=1)) ** 2, atol=1e-4)
    assert y.shape == (1, 8, 9)


def test_filter_bank_weighs_what_is_not_zero() -> None:
    weights = np.array([[0, 1, 2, 0], [0, 0, 0, 0], [0.5, 0, 0, 1]], np.float32)
    parts = [Tensor("x", (2, 3, 4), "float32"), const("w", weights), const("b", np.array([1, -1, 0], np.float32))]
    node = Node("FILTER_BANK", ("x", "w", "b"), ("y",), {}, "bank")
    graph = build("bank", ["x"], ["y"], [node], [*parts, Tensor("y", (2, 3, 3), "float32")])
    feed = {"x": np.arange(24, dtype=np.float32).reshape(2, 3, 4)}
    wanted = reference.run(graph, feed)["y"]
    assert np.allclose(wanted, feed["x"] @ weights.T + [1, -1, 0])
    assert macs(graph) == 6 * (2 + 0 + 4)
    model = compile_c(graph, "bank")
    assert np.allclose(run_c(model.files, model.interface, [feed], sanitize=True)[0]["y"], wanted, atol=1e-5)


def test_batches_are_single_samples() -> None:
    graph = stft(60, 16, 8, 16, "POWER", "int16", True)
    three = rebatch(graph, 3)
    feeds = [sound(graph, seed)["x"] for seed in range(3)]
    together = reference.run(three, {"x": np.concatenate(feeds)})["y"]
    apart = np.concatenate([reference.run(graph, {"x": x})["y"] for x in feeds])
    assert np.array_equal(together, apart)


@pytest.mark.parametrize(
    "change", [{"hop": 0}, {"fft": 8}, {"form": "DB"}, {"hop": 1.5}], ids=["hop", "short", "form", "fraction"]
)
def test_what_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    node = Node("STFT", ("x", "w"), ("y",), {"hop": 4, "fft": 16, **change}, "stft")
    with pytest.raises(BadModel, match="stft"):
        infer(node, [Tensor("x", (1, 64), "float32"), const("w", np.ones(16, np.float32))])
