"""Metrics beside a task's own: what torchmetrics says of the same scores; a task's own metric agrees with it, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

import torch

from edgekit.cli import main
from edgekit.data import Dataset, from_arrays
from edgekit.errors import BadConfig, MissingTool
from edgekit.export.onnx import export_onnx
from edgekit.graph import Graph, Node, Tensor
from edgekit.passes import finetune, finetune_metrics
from edgekit.tasks_further import FURTHER, metric_of
from edgekit.trainable import to_module
from tests.passes.prune_nets import language
from tests.passes.test_finetune import TASKS as NETS

try:
    LIBRARY = finetune_metrics._imported()
except ImportError:
    LIBRARY = None
needed = pytest.mark.skipif(LIBRARY is None, reason="torchmetrics is not installed")


def task_data(task: str) -> tuple[Graph, Dataset]:
    graph, labels = NETS[task]
    rng = np.random.default_rng(1)
    x = rng.integers(0, 9, (40, 7)) if task == "language" else rng.normal(size=(40, *graph[graph.inputs[0]].shape[1:]))
    if task == "classification":  # something to learn
        labels = (x @ rng.normal(size=(6, 4))).argmax(1)
    return graph, from_arrays(graph, {graph.inputs[0]: x.astype(np.int32 if task == "language" else np.float32)}, labels)


@needed
@pytest.mark.parametrize("task", FURTHER)
def test_every_further_metric_of_every_task_gets_better_by_training(task: str) -> None:
    graph, data = task_data(task)
    module, trained = to_module(graph), to_module(graph)
    finetune.train(trained, data, epochs=40, lr=0.05, batch=20)
    for name in FURTHER[task]:  # type: ignore[index]
        kind = metric_of(task, name)  # type: ignore[arg-type]
        before, after = (finetune.evaluate(m, data, metric=name) for m in (module, trained))
        assert np.isfinite([before, after]).all()
        # Four classes are all among the best five.
        assert name == "top5" or ((after > before) if kind.higher else (after < before)), (name, before, after)


@needed
def test_a_task_s_own_metric_is_what_torchmetrics_has_by_that_name() -> None:
    classification = LIBRARY.classification
    for task, make in {
        "classification": lambda: classification.MulticlassAccuracy(4, average="micro"),
        "multilabel": lambda: classification.MultilabelAccuracy(4, average="micro"),
        "regression": LIBRARY.MeanAbsoluteError,
        "reconstruction": LIBRARY.MeanSquaredError,
        "segmentation": lambda: classification.MulticlassJaccardIndex(3, average="macro"),
        "language": LIBRARY.text.Perplexity,
    }.items():
        graph, data = task_data(task)
        module = to_module(graph)
        x = torch.from_numpy(np.concatenate([s[graph.inputs[0]] for s in data]))
        with torch.no_grad():
            y = module(x)[graph.outputs[0]]
        wanted = x if data.labels is None else torch.from_numpy(data.labels)
        if task == "language":
            y, wanted = y[:, :-1], x[:, 1:].long()
        if task == "multilabel":
            y = torch.sigmoid(y)
        if task == "segmentation":
            y = y.movedim(-1, 1)
        judge = make()
        judge.update(y, wanted)
        assert finetune.evaluate(module, data) == pytest.approx(float(judge.compute()), rel=1e-5), task


@needed
def test_one_score_that_says_yes() -> None:
    tensors = [Tensor("x", (1, 1), "float32"), Tensor("y", (1, 1), "float32")]
    graph = Graph("yes", ("x",), ("y",), (Node("LOGISTIC", ("x",), ("y",)),), {t.name: t for t in tensors})
    x = np.array([[-2], [-1], [1], [2]], np.float32)
    data = from_arrays(graph, {"x": x}, np.array([0, 1, 0, 1]))
    assert finetune.evaluate(to_module(graph), data, metric="auroc") == pytest.approx(0.75)
    assert finetune.evaluate(to_module(graph), data, metric="recall") == pytest.approx(0.5)
    assert finetune.evaluate(to_module(graph), data) == pytest.approx(0.5)


@needed
def test_training_stops_by_the_metric_that_is_named() -> None:
    graph, data = task_data("classification")
    module = to_module(graph)
    found = finetune.train(module, replace(data, held_out=data), epochs=8, lr=0.05, batch=20, early_stop=3, metric="f1")
    assert found.metric_name == "F1"
    assert finetune.evaluate(module, data, metric="f1") == pytest.approx(max(found.metrics))


@pytest.mark.parametrize("verb", ["prune", "distill"])
def test_every_task_and_metric_can_be_asked_for(verb: str, tmp_path: Path) -> None:
    for task in (*FURTHER, "embedding"):
        graph, data = task_data("classification" if task == "embedding" else task)
        graph = language() if task == "language" else graph  # with weights to prune
        (tmp_path / "net.onnx").write_bytes(export_onnx(graph))
        x = np.concatenate([next(iter(s.values())) for s in data])
        arrays: dict[str, Any] = {"x": x} | ({} if data.labels is None else {"y": data.labels})
        np.savez(tmp_path / "data.npz", **arrays)
        if verb == "distill":
            own = [str(tmp_path / "net.onnx")]
        else:
            own = ["--unstructured", "--ratio", "0.1", "--no-bench", "--target", "rpi"]
        files = ["-o", str(tmp_path / "out.onnx"), "--data", str(tmp_path / "data.npz"), "--eval", str(tmp_path / "data.npz")]
        command = [verb, str(tmp_path / "net.onnx"), *own, *files, "--epochs", "1", "--task", task, "--force"]
        name = next(iter(FURTHER.get(task, ())), None)
        more = ["--metric", name] if name and LIBRARY is not None else []
        result = CliRunner().invoke(main, [*command, *more])
        assert result.exit_code == 0, (task, result.stderr)
        assert metric_of(task, name if more else None).name in result.stdout
        refused = CliRunner().invoke(main, [*command, "--metric", "beauty"])
        assert refused.exit_code == 2
        assert f"{task} has no metric beauty" in refused.stderr


def test_without_torchmetrics_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> object:
        raise ImportError

    monkeypatch.setattr(finetune_metrics, "_imported", missing)
    graph, data = task_data("classification")
    with pytest.raises(MissingTool, match="--metric f1 needs torchmetrics"):
        finetune.evaluate(to_module(graph), data, metric="f1")
    with pytest.raises(BadConfig, match="classification has no metric r2"):
        finetune.evaluate(to_module(graph), data, metric="r2")
