"""prune, distill, quantize --qat and apply with input that is wrong: exit 2, what and where, nothing written or replaced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from edgekit.cli import main
from edgekit.export.onnx import export_onnx
from edgekit.graph import Graph
from tests.passes.prune_nets import conv, dense, net

VERBS: dict[str, tuple[str, ...]] = {
    "prune": ("prune", "@/net.onnx", "-o", "@/out.onnx", "--ratio", "0.4", "--epochs", "1", "--no-bench", "--multiple", "1"),
    "distill": ("distill", "@/net.onnx", "-o", "@/out.onnx", "--student-width", "0.5", "--epochs", "1"),
    "qat": ("quantize", "@/net.onnx", "-o", "@/out.onnx", "--qat", "1"),
}


def network(size: int = 6, classes: int = 4, seed: int = 0) -> Graph:
    n = net(seed)
    y = conv(n, conv(n, n.input((1, size, size, 1)), 8), 8)
    return n.graph([dense(n, n.op("MEAN", [y], None, axes=(1, 2))[0], classes)])


def hurt(graph: Graph, value: float) -> Graph:
    name = next(n for n, t in graph.tensors.items() if t.is_const and len(t.shape) == 4)
    data = np.array(graph[name].data)
    data.reshape(-1)[3] = value
    return replace(graph, tensors={**graph.tensors, name: replace(graph[name], data=data)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refused")
    graphs = {"net": network(), "seven": network(classes=7), "large": network(size=7)}
    graphs |= {"nan": hurt(network(), np.nan), "inf": hurt(network(), np.inf)}
    n = net()
    graphs["bare"] = n.graph([n.op("TANH", [n.input((1, 6, 6, 1))], None)[0]])
    for name, graph in graphs.items():
        (path / f"{name}.onnx").write_bytes(export_onnx(graph))
    (path / "text.onnx").write_text("hello")
    (path / "empty").mkdir()
    x = np.random.default_rng(0).normal(size=(24, 6, 6, 1)).astype(np.float32)
    y = np.arange(24) % 4
    broken = x.copy()
    broken[3, 0, 0] = np.nan
    data = {
        "ok": (x, y),
        "none": (x[:0], y[:0]),
        "short": (x, y[:10]),
        "words": (x, np.array(["a"] * 24)),
        "real": (x, np.linspace(0, 1, 24)),
        "nan_labels": (x, np.full(24, np.nan)),
        "many": (x, y + 3),
        "negative": (x, -y - 1),
        "nan_samples": (broken, y),
        "narrow": (x[:, :5], y),
        "objects": (x, np.array([None] * 24)),
        "huge": (np.full_like(x, 3e38), y),
    }
    for name, (samples, labels) in data.items():
        np.savez(path / f"{name}.npz", x=samples, y=labels)
    np.savez(path / "plain.npz", x=x)
    (path / "torn.npz").write_bytes((path / "ok.npz").read_bytes()[:300])
    return path


def refused(folder: Path, *args: str) -> str:
    """What stderr says. The output is somebody's, and stays as it is; so does everything else but checkpoints."""
    mine = folder / "out.onnx"
    mine.write_bytes(b"mine")
    before = contents(folder)
    result = CliRunner().invoke(main, [a.replace("@", str(folder)) for a in (*args, "--force")])
    assert result.exit_code == 2, (result.output, result.stderr)
    assert result.stdout == ""
    assert "a fault of edgekit" not in result.stderr
    assert "rror: " in result.stderr
    assert contents(folder) == before
    return result.stderr


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "checkpoint" not in str(p)}


DATA = [
    ("none", "no samples"),
    ("short", "10 labels for 24 samples"),
    ("words", "holds text"),
    ("real", "do not fit an output of"),
    ("nan_labels", "do not fit an output of"),
    ("many", "out of range: the model has 4 classes"),
    ("negative", "out of range"),
    ("nan_samples", "sample 3 of input"),
    ("narrow", "needs samples of shape"),
    ("objects", "no object arrays"),
    ("torn", "cannot read"),
]


@pytest.mark.parametrize("verb", VERBS)
def test_data_that_cannot_be_learned(folder: Path, verb: str) -> None:
    for name, why in DATA:
        assert why in refused(folder, *VERBS[verb], "--data", f"@/{name}.npz"), name
    assert "holds no" in refused(folder, *VERBS[verb], "--data", "@/empty")
    assert "no data at" in refused(folder, *VERBS[verb], "--data", "@/nowhere.npz")


@pytest.mark.parametrize("verb", VERBS)
def test_weights_that_are_no_numbers_are_noticed_before_training(folder: Path, verb: str) -> None:
    for name in ("nan", "inf"):
        args = [a.replace("net.onnx", f"{name}.onnx") for a in VERBS[verb]]
        message = refused(folder, *args, "--data", "@/ok.npz")
        assert f"weights of the model '{name}' are NaN or infinite" in message
        assert "(1 of 72)" in message
        assert "epoch" not in message
    args = [a.replace("net.onnx", "text.onnx") for a in VERBS[verb]]
    assert "not an ONNX file" in refused(folder, *args, "--data", "@/ok.npz")


DISTIL = ("distill", "@/net.onnx", "@/{}.onnx", "-o", "@/out.onnx", "--data", "@/ok.npz", "--epochs", "1")
OPTIONS: list[tuple[tuple[str, ...], str]] = [
    ((*VERBS["distill"], "--data", "@/huge.npz"), "the loss became"),
    ((*VERBS["prune"], "--data", "@/ok.npz", "--lr", "1e30", "--epochs", "3"), "the loss became"),
    ((*VERBS["prune"], "--data", "@/ok.npz", "--device", "cpux"), "cannot train on --device cpux"),
    ((*VERBS["distill"], "--data", "@/ok.npz", "--device", "meta:x"), "cannot train on --device meta:x"),
    ((*VERBS["prune"], "--data", "@/ok.npz", "--task", "multilabel"), "labels a sample"),
    ((*VERBS["prune"], "--data", "@/ok.npz", "--task", "regression"), "1 labels a sample, the network gives 4 values"),
    ((*VERBS["prune"], "--data", "@/ok.npz", "--task", "reconstruction"), "1 labels a sample, the network gives 4 values"),
    ((*VERBS["prune"], "--data", "@/plain.npz", "--task", "classification"), "no labels, which classification needs"),
    (("prune", "@/net.onnx", "-o", "@/out.onnx", "--ratio", "0.99", "--no-bench"), "would empty layers"),
    (("prune", "@/net.onnx", "-o", "@/out.txt", "--ratio", "0.4", "--data", "@/ok.npz"), "format of"),
    (("distill", "@/net.onnx", "-o", "@/out.txt", "--student-width", "0.5", "--data", "@/ok.npz"), "format of"),
    (("distill", "@/net.onnx", "-o", "@/out.onnx", "--student-width", "1.5", "--data", "@/ok.npz"), "makes no student"),
    (("distill", "@/bare.onnx", "@/bare.onnx", "-o", "@/out.onnx", "--data", "@/plain.npz"), "no weights that could learn"),
    (("quantize", "@/bare.onnx", "-o", "@/out.onnx", "--data", "@/plain.npz", "--qat", "1"), "no weights that could learn"),
    ((*VERBS["distill"], "--data", "@/ok.npz", "--seed", "-1"), "--seed"),
    (tuple(a.format("seven") for a in DISTIL), "no answer to learn from"),
    (tuple(a.format("large") for a in DISTIL), "cannot see the same samples"),
    (tuple(a.format("nan") for a in DISTIL), "weights of the model 'nan'"),
]


@pytest.mark.parametrize(("args", "why"), OPTIONS)
def test_what_does_not_fit_is_said(folder: Path, args: tuple[str, ...], why: str) -> None:
    assert why in refused(folder, *args)
    assert not (folder / "out.txt").exists()


def test_checkpoints_that_are_damaged_or_of_another_model_are_kept(folder: Path) -> None:
    places = {"prune": "out.onnx.checkpoints/step-1.pt", "distill": "out.onnx.checkpoint.pt", "qat": "out.onnx.checkpoint.pt"}
    for verb, place in places.items():
        file = folder / place
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"junk")
        assert "is damaged" in refused(folder, *VERBS[verb], "--data", "@/ok.npz")
        assert file.read_bytes() == b"junk"
        file.unlink()
    from edgekit.data import open_data
    from edgekit.passes import finetune
    from edgekit.trainable import to_module

    file = folder / places["distill"]
    finetune.train(to_module(network(seed=1)), open_data(folder / "ok.npz", network(seed=1)), epochs=1, checkpoint=file)
    held = file.read_bytes()
    for verb in ("distill", "qat"):
        assert "is of another run" in refused(folder, *VERBS[verb], "--data", "@/ok.npz")
        assert file.read_bytes() == held
    file.unlink()


QUANTIZE = 'command = "quantize"\n[options]\nmodel = "net.onnx"\ndata = "ok.npz"\nout = "made.onnx"\n'
RECIPES = [
    ("junk [", "cannot read"),
    ('command = "prune"\n[options]\n', "is not a recipe"),
    ('command = "quantize"\n[options]\nmodel = "net.onnx"\n', "lacks out"),
    (QUANTIZE.replace('"net.onnx"', "3"), "lacks model"),
    (QUANTIZE + "qatt = 3\n", "there is no option qatt"),
    (QUANTIZE + 'qat = "x"\n', "qat = 'x' is no int"),
    (QUANTIZE + "equalize = 1\n", "equalize = 1 is no bool"),
    (QUANTIZE + "[options.load]\nnothing = 1\n", "there is no option load.nothing"),
    (QUANTIZE.replace("net.onnx", "nowhere.onnx"), "No such file"),
    (QUANTIZE.replace("net.onnx", "nan.onnx"), "are NaN or infinite"),
    (QUANTIZE.replace("ok.npz", "torn.npz"), "cannot read"),
    (QUANTIZE + 'scheme = "int9"\n', "no quantization scheme int9"),
    (QUANTIZE + "lock = 1\n", "there is no option lock"),
    (QUANTIZE + "[more]\n", "unknown keys more"),
]


@pytest.mark.parametrize(("text", "why"), RECIPES)
def test_recipes_that_do_not_fit(folder: Path, text: str, why: str) -> None:
    (folder / "recipe.toml").write_text(text)
    assert why in refused(folder, "apply", "@/recipe.toml")
    assert not (folder / "made.onnx").exists()


def test_one_sample_is_enough(folder: Path, tmp_path: Path) -> None:
    with np.load(folder / "ok.npz") as data:
        np.savez(tmp_path / "one.npz", x=data["x"][:1], y=data["y"][:1])
    for verb, args in VERBS.items():
        out = tmp_path / f"{verb}.onnx"
        given = [
            a.replace("@/out.onnx", str(out)).replace("@", str(folder)) for a in (*args, "--data", str(tmp_path / "one.npz"))
        ]
        result = CliRunner().invoke(main, given)
        assert result.exit_code == 0, result.stderr
        assert out.stat().st_size > 500
