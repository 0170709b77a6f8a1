"""distill: a small network learns from a large one, with labels and without; pairs that do not fit are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgekit import api, metrics
from edgekit.boundary import random_samples
from edgekit.cli import main
from edgekit.data import Dataset, open_data
from edgekit.distilling import narrowed, parse_losses, reinitialised
from edgekit.errors import BadConfig, BadData, EdgekitError
from edgekit.evaluate import judged
from edgekit.export.onnx import export_onnx
from edgekit.graph import Graph
from edgekit.passes.quantize import quantize
from tests.passes.net import Net
from tests.test_ladder import digits, hard, trained


@pytest.fixture(scope="module")
def teacher() -> Graph:
    return hard(trained(digits()[0]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, teacher: Graph) -> Path:
    """teacher.onnx; train.npz (few samples), test.npz, plain.npz (many samples, no labels)."""
    path = tmp_path_factory.mktemp("distill")
    train, test = digits()
    (path / "teacher.onnx").write_bytes(export_onnx(teacher))
    np.savez(path / "train.npz", x=train["x"][:500], y=train["y"][:500])
    np.savez(path / "test.npz", x=test["x"], y=test["y"])
    np.savez(path / "plain.npz", x=train["x"])
    return path


def sets(folder: Path, graph: Graph) -> tuple[Dataset, Dataset]:
    return open_data(folder / "train.npz", graph), open_data(folder / "test.npz", graph)


def conv(channels: int = 8, classes: int = 5, size: int = 8, seed: int = 0) -> Graph:
    """A network with two resolutions and a vector before its last layer."""
    net = Net(seed)
    x = net.input(1, size, size, 3)
    a = net.add("CONV_2D", x, net.random(channels, 3, 3, 3), net.random(channels), pad=(1, 1, 1, 1), activation="RELU")
    b = net.add(
        "CONV_2D",
        a,
        net.random(channels, 3, 3, channels),
        net.random(channels),
        pad=(1, 1, 1, 1),
        stride=(2, 2),
        activation="RELU",
    )
    m = net.add("MEAN", b, axes=(1, 2))
    return net.graph(net.add("FULLY_CONNECTED", m, net.random(classes, channels), net.random(classes)))


def test_a_student_learns_with_labels_and_gives_the_same_again(folder: Path, teacher: Graph) -> None:
    train, test = sets(folder, teacher)
    options: dict[str, Any] = {"eval": test, "width": 0.25, "reinit": True, "epochs": 12, "lr": 2e-2, "batch": 32}
    one = api.distill(teacher, None, "s.onnx", train, **options)
    two = api.distill(teacher, None, "s.onnx", train, **options)
    assert one.files == two.files
    assert one.macs[1] < 0.25 * one.macs[0]
    assert one.judged is not None
    assert one.judged.before < 0.4
    assert one.judged.after > 0.85
    assert one.teacher_metric > 0.94
    assert one.judged.after == pytest.approx(judged(one.graph, test).value or 0, abs=0.003)


def test_without_labels_the_teacher_is_enough(folder: Path, tmp_path: Path, teacher: Graph) -> None:
    out = tmp_path / "s.onnx"
    args = ["distill", folder / "teacher.onnx", "-o", out, "--data", folder / "plain.npz", "--student-width", "0.3", "--reinit"]
    result = CliRunner().invoke(main, [str(a) for a in (*args, "--epochs", "20", "--lr", "2e-2")])
    assert result.exit_code == 0, result.stderr
    assert "accuracy: unavailable" in result.stdout
    assert (judged(api.load(str(out)), sets(folder, teacher)[1]).value or 0) > 0.85
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.onnx", "s.onnx.recipe.toml"]
    again = CliRunner().invoke(main, ["apply", str(out) + ".recipe.toml", "-o", str(tmp_path / "t.onnx")])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "t.onnx").read_bytes() == out.read_bytes()


def test_features_and_attention_are_compared_at_each_resolution() -> None:
    import torch

    from edgekit.passes.finetune_distil import alike, attention_loss, feature_loss, pairs_of
    from edgekit.trainable import to_module

    student, large = conv(4), conv(12, size=16, seed=1)
    names = [node.outputs[0] for node in student.nodes]
    theirs = [node.outputs[0] for node in large.nodes]
    # Maps of 8 x 8 are the teacher's second, those of 4 x 4 have none of their size: the deepest.
    assert pairs_of(student, large, "attention") == [(names[0], theirs[1]), (names[1], theirs[1])]
    assert pairs_of(student, large, "feature")[-1] == (names[2], theirs[2])
    loss = feature_loss(student, large, 0.5, 0)
    assert loss.module is not None
    assert [tuple(p.shape) for p in loss.module.parameters() if p.dim() == 2] == [(12, 4)] * 3

    own = attention_loss(large, large, 1.0)
    values = to_module(large)(torch.rand(3, 16, 16, 3), keep=own.keep)
    from edgekit.passes.finetune_losses import Step

    same = own.function(Step({}, values, None, values, None))  # type: ignore[arg-type]
    assert float(same.detach()) == 0.0
    y, wanted = alike(torch.rand(2, 4, 4, 3), torch.rand(2, 8, 8, 5))
    assert y.shape[:3] == wanted.shape[:3] == (2, 4, 4)
    flat, _ = alike(torch.arange(8.0).reshape(1, 8, 1), torch.rand(1, 4, 1))
    assert flat.flatten().tolist() == [0.5, 2.5, 4.5, 6.5]


def test_every_loss_trains_a_convolutional_student() -> None:
    large = conv(12, seed=1)
    samples = random_samples(large, 64)
    answers = np.array([i % 5 for i in range(64)])
    data = Dataset("made up", np.arange(64), lambda i: samples[i], answers)
    for loss in ("feature", "attention", "logit,feature=0.2,attention=5"):
        done = api.distill(large, conv(4), "s.onnx", data, loss=loss, epochs=3, lr=5e-3, batch=16)
        assert done.losses[-1] < done.losses[0]
        assert {name for name, _, _ in done.pairs} == set(parse_losses(loss)) - {"logit"}


def test_new_weights_are_new_and_the_same_for_a_seed() -> None:
    graph = narrowed(conv(8), 0.5)
    assert [t.shape for t in graph.tensors.values() if t.is_const][:2] == [(4, 3, 3, 3), (4,)]
    one, two, three = (reinitialised(graph, seed) for seed in (0, 0, 1))
    name = str(graph.nodes[0].inputs[1])
    np.testing.assert_array_equal(one[name].real(), two[name].real())
    assert np.abs(one[name].real() - three[name].real()).max() > 0
    assert metrics.sqnr_db(graph[name].real(), one[name].real()) < 0


def mismatched() -> list[tuple[Graph, Graph | None, dict[str, Any], str]]:
    plain, quantized = conv(), quantize(conv(), random_samples(conv(), 4))
    return [
        (plain, conv(4, size=16), {}, "takes .8, 8, 3.*student .16, 16, 3"),
        (plain, conv(4, classes=7), {}, r"answers with \[5\], the student with \[7\]"),
        (quantized, conv(4), {}, "teacher .* quantized already"),
        (plain, quantized, {}, "student .* quantized already"),
        (plain, None, {}, "a student is needed"),
        (plain, conv(4), {"width": 0.5}, "only one"),
        (plain, None, {"width": 1.5}, "makes no student"),
        (plain, conv(4), {"loss": "logit,taste"}, "'taste'"),
        (plain, conv(4), {"loss": "logit=0"}, "'logit=0'"),
        (plain, conv(4), {"loss": "feature", "labels": 0.0}, "nothing teaches the student's last layer"),
    ]


@pytest.mark.parametrize(("large", "small", "options", "says"), mismatched())
def test_a_pair_that_does_not_fit_is_refused(large: Graph, small: Graph | None, options: dict[str, Any], says: str) -> None:
    samples = random_samples(conv(), 8)
    data = Dataset("made up", np.arange(8), lambda i: samples[i], np.zeros(8, np.int64))
    with pytest.raises(BadConfig, match=says):
        api.distill(large, small, "s.onnx", data, epochs=1, **options)


@pytest.mark.parametrize(
    ("labels", "lr", "says"),
    [(np.full(8, 9), 1e-3, "label 9 of sample 0 is out of range"), (np.zeros(8, np.int64), 1e30, "loss became")],
)
def test_labels_and_losses_that_are_wrong_are_refused(labels: Any, lr: float, says: str) -> None:
    samples = random_samples(conv(), 8)
    data = Dataset("made up", np.arange(8), lambda i: samples[i], labels)
    with pytest.raises(BadData, match=says):
        api.distill(conv(), conv(4), "s.onnx", data, epochs=6, lr=lr, batch=2)


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.onnx"
    out.write_text("mine")
    args = ["distill", folder / "teacher.onnx", folder / "teacher.onnx", "-o", out, "--data", folder / "train.npz"]
    result = CliRunner().invoke(main, [str(a) for a in args])
    assert result.exit_code == 2
    assert "exists" in result.stderr
    np.savez(tmp_path / "wrong.npz", x=np.zeros((4, 64), np.float32), y=np.full(4, 12))
    args[-1] = tmp_path / "wrong.npz"
    result = CliRunner().invoke(main, [str(a) for a in (*args, "--force")])
    assert result.exit_code == 2
    assert "label 12" in result.stderr
    assert out.read_text() == "mine"


def test_an_error_is_an_edgekit_error() -> None:
    for text in ("", ",", "logit=x"):
        with pytest.raises(EdgekitError):
            parse_losses(text)


def test_what_is_not_labelled_teaches_too(folder: Path, teacher: Graph) -> None:
    train, test = sets(folder, teacher)
    few = train.subset(np.arange(64))
    rest = replace(train.subset(np.arange(64, len(train))), labels=None)
    options: dict[str, Any] = {"width": 0.5, "reinit": True, "epochs": 4, "lr": 1e-2, "batch": 32, "eval": test}
    alone = api.distill(teacher, None, "student.onnx", few, **{**options, "epochs": 4 * len(train) // len(few)})
    more = api.distill(teacher, None, "student.onnx", few, unlabelled=rest, **options)
    assert (alone.trained, more.trained) == (64, len(train))
    assert alone.judged is not None
    assert more.judged is not None
    assert more.judged.after > alone.judged.after
    with pytest.raises(BadConfig, match="one class each"):
        api.distill(teacher, None, "student.onnx", replace(few, labels=None), unlabelled=rest, labels=0.0, **options)
