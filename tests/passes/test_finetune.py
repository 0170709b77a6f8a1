"""finetune: it learns, it goes on where it was killed, and it says what is wrong with data."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from dataclasses import replace

import torch

from edgekit.data import from_arrays
from edgekit.errors import BadConfig, BadData
from edgekit.graph import Array, Graph, Tensor
from edgekit.passes import finetune
from edgekit.passes.finetune_tasks import Judge
from edgekit.tasks import IGNORED, targets_of, task_of
from edgekit.trainable import GraphModule, to_graph, to_module
from tests.passes.digits import dataset, trained, untrained
from tests.passes.prune_nets import conv, dense, net


def digest(module: GraphModule) -> str:
    data = b"".join(t.data.tobytes() for t in to_graph(module).tensors.values() if t.data is not None)
    return hashlib.sha256(data).hexdigest()


def test_it_learns_and_keeps_the_best() -> None:
    graph = trained()
    assert finetune.evaluate(to_module(graph), dataset(graph, 1200, 1797)) > 0.93
    module = to_module(untrained(width=8))
    data = replace(dataset(graph, 0, 400), held_out=dataset(graph, 400, 500))
    found = finetune.train(module, data, epochs=6, lr=0.03, batch=32, early_stop=2)
    assert found.losses[-1] < found.losses[0]
    best = max(found.metrics)
    assert finetune.evaluate(module, dataset(graph, 400, 500)) == best == found.metrics[found.best_epoch - 1]


def test_cut_off_within_an_epoch_it_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed for good: tests/cli/test_interrupted.py."""
    monkeypatch.setattr(finetune, "SAVE_STEPS", 3)
    graph = untrained(width=8)
    data, settings = dataset(graph, 0, 320), {"epochs": 4, "batch": 32, "checkpoint": tmp_path / "run.pt"}

    def cut(p: finetune.Progress) -> None:
        if (p.epoch, p.step) == (2, 8):  # two steps after the last checkpoint
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune.train(to_module(graph), data, progress=cut, **settings)  # type: ignore[arg-type]
    again = to_module(graph)
    resumed = finetune.train(again, data, **settings)  # type: ignore[arg-type]
    whole = to_module(graph)
    straight = finetune.train(whole, data, epochs=4, batch=32)
    assert digest(again) == digest(whole)
    assert resumed.losses == straight.losses
    assert resumed.resumed_at == 1


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    graph = untrained(width=8)
    checkpoint = tmp_path / "run.pt"
    finetune.train(to_module(graph), dataset(graph, 0, 64), epochs=1, checkpoint=checkpoint)
    before = checkpoint.read_bytes()
    with pytest.raises(BadConfig, match="another run"):
        finetune.train(to_module(graph), dataset(graph, 0, 64), epochs=1, lr=1e-2, checkpoint=checkpoint)
    assert checkpoint.read_bytes() == before
    checkpoint.write_bytes(before[:100])
    with pytest.raises(BadConfig, match="is damaged"):
        finetune.train(to_module(graph), dataset(graph, 0, 64), epochs=1, checkpoint=checkpoint)


def test_a_teacher_is_enough() -> None:
    graph = trained()
    student = to_module(untrained(width=12))
    data = dataset(graph, 0, 600, labels=False)
    found = finetune.train(student, data, epochs=6, lr=2e-2, batch=32, teacher=to_module(graph))
    assert found.task == "teacher"
    assert finetune.evaluate(student, dataset(graph, 1200, 1797)) > 0.4
    n = net()
    other = n.graph([dense(n, n.input((1, 8, 8, 1)), 3)])
    with pytest.raises(BadConfig, match="no answer to learn from"):
        finetune.train(student, data, epochs=1, teacher=to_module(other))


def test_masked_weights_stay_zero() -> None:
    graph = untrained(width=8)
    module = to_module(graph)
    name = next(n for n in module.learned if graph[n].shape == (8, 3, 3, 8))
    mask = (np.random.default_rng(0).random(graph[name].shape) < 0.5).astype(np.float32)
    module.masks[name] = torch.from_numpy(mask)
    finetune.train(module, dataset(graph, 0, 128), epochs=1, batch=32)
    data = to_graph(module)[name].real()
    assert np.array_equal(data != 0, mask != 0)
    assert not np.array_equal(data, graph[name].real() * mask)


def test_statistics_of_batch_norm_are_set_to_the_data() -> None:
    graph = untrained(width=8)
    module = to_module(graph)
    finetune.recalibrate(module, dataset(graph, 0, 256), batch=256)
    norm = next(n for n in graph.nodes if n.op == "BATCH_NORM")
    inputs = dict(
        module(
            torch.from_numpy(np.concatenate([s[graph.inputs[0]] for s in dataset(graph, 0, 256)])), keep=(norm.inputs[0] or "",)
        )
    )
    np.testing.assert_allclose(
        to_graph(module)[norm.inputs[3] or ""].real(), inputs[norm.inputs[0] or ""].mean((0, 1, 2)).detach(), atol=1e-4
    )


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (None, "no labels"),
        (np.arange(20) % 12, "out of range"),
        (np.full((20, 7), 0.5, np.float32), "do not fit an output"),
    ],
)
def test_labels_that_do_not_fit(labels: object, why: str) -> None:
    graph = untrained(width=8)

    def attempt() -> None:
        data = from_arrays(graph, {graph.inputs[0]: np.zeros((20, 8, 8, 1), np.float32)}, labels)
        finetune.train(to_module(graph), data, epochs=1)

    with pytest.raises(BadData, match=why):
        attempt()


def test_a_loss_that_is_no_number() -> None:
    graph = untrained(norm=False, width=8)
    x = np.full((32, 8, 8, 1), 3e38, np.float32)
    data = from_arrays(graph, {graph.inputs[0]: x}, np.zeros(32, np.int64))
    with pytest.raises(BadData, match="the loss became"):
        finetune.train(to_module(graph), data, epochs=3, lr=1.0)


def answers(*shape: int, ids: bool = False) -> Graph:
    """A network with an output of `shape`: a projection of its input (or a table of its ids)."""
    n = net(1)
    if ids:
        x = n.ids((1, shape[0]))
        return n.graph([n.op("GATHER", [n.values((9, shape[1])), x], None, axis=0)[0]])
    if len(shape) == 3:
        return n.graph([n.op("CONV_2D", [n.input((1, *shape[:2], 3)), n.values((shape[2], 1, 1, 3)), None], None)[0]])
    return n.graph([dense(n, n.input((1, 6)), shape[0])])


RNG = np.random.default_rng(0)
TASKS: dict[str, tuple[Graph, Array | None]] = {
    "classification": (answers(4), RNG.integers(0, 4, 40)),
    "multilabel": (answers(4), (RNG.random((40, 4)) < 0.6).astype(np.int64)),
    "regression": (answers(4), RNG.normal(size=(40, 4)).astype(np.float32)),
    "segmentation": (answers(5, 5, 3), RNG.integers(0, 3, (40, 5, 5))),
    "reconstruction": (answers(6), None),
    "language": (answers(7, 9, ids=True), None),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_found_and_learned(task: str) -> None:
    graph, labels = TASKS[task]
    rng = np.random.default_rng(1)
    x = rng.integers(0, 9, (40, 7)) if task == "language" else rng.normal(size=(40, *graph[graph.inputs[0]].shape[1:]))
    data = from_arrays(graph, {graph.inputs[0]: x.astype(np.int32 if task == "language" else np.float32)}, labels)
    assert task_of(graph, data) == task
    module = to_module(graph)
    before = finetune.evaluate(module, data)
    found = finetune.train(module, data, epochs=30, lr=0.05, batch=20)
    after = finetune.evaluate(module, data)
    judge = Judge(graph, found.task, labels)
    assert (after > before) if judge.metric.higher else (after < before), (before, after)
    assert all(math.isfinite(v) for v in found.losses)


def test_embeddings_bring_classes_together() -> None:
    graph = answers(5)
    labels = np.arange(64) % 4
    x = (np.eye(4)[labels] @ RNG.normal(size=(4, 6)) + RNG.normal(0, 0.9, (64, 6))).astype(np.float32)
    data = from_arrays(graph, {graph.inputs[0]: x}, labels)
    module = to_module(graph)
    before = finetune.evaluate(module, data, "embedding")
    finetune.train(module, data, task="embedding", epochs=60, lr=0.02, batch=64)
    assert finetune.evaluate(module, data, "embedding") > before


def test_metrics_by_hand() -> None:
    graph = answers(2, 2, 3)
    labels = np.array([[[0, 1], [2, 2]]])
    judge = Judge(graph, "segmentation", labels)
    scores = torch.zeros(1, 2, 2, 3)
    for (i, j), c in {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 2}.items():
        scores[0, i, j, c] = 1.0
    tally = judge.tally(torch.device("cpu"))
    tally.add(*judge.pairs({graph.outputs[0]: scores}, torch.from_numpy(labels.reshape(1, -1)), {}))
    assert tally.value() == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    words = answers(3, 4, ids=True)
    judge = Judge(words, "language", None)
    tally = judge.tally(torch.device("cpu"))
    tally.add(*judge.pairs({words.outputs[0]: torch.zeros(2, 3, 4)}, torch.tensor([[1, 2, IGNORED], [0, 0, 0]]), {}))
    assert tally.value() == pytest.approx(4.0)


def test_labels_beside_the_source_s_layout() -> None:
    """Classes first, as PyTorch has them: [1, 3, 5, 5] with labels [n, 5, 5]."""
    n = net()
    y = conv(n, n.input((1, 5, 5, 2)), 3)
    out = n.op("TRANSPOSE", [y], None, perm=(0, 3, 1, 2))[0]
    graph = n.graph([out])
    data = from_arrays(graph, {graph.inputs[0]: np.zeros((6, 5, 5, 2), np.float32)}, np.ones((6, 5, 5), np.int64))
    assert task_of(graph, data) == "segmentation"
    assert Judge(graph, "segmentation", data.labels).axis == 1
    found = targets_of(graph, data, "segmentation")
    assert found is not None
    assert found.shape == (6, 25)
    assert isinstance(graph[out], Tensor)
