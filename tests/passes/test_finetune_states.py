"""Networks that carry states learn from sequences: unrolled as they run, trained, trained rounded, pruned and brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

import torch

from edgekit import ops, states
from edgekit.cli import main
from edgekit.data import Dataset
from edgekit.errors import BadConfig
from edgekit.evaluate import outputs
from edgekit.export.onnx import export_onnx
from edgekit.graph import Array, Graph
from edgekit.load import load
from edgekit.passes import finetune
from edgekit.passes.finetune_feeder import Feeder
from edgekit.passes.finetune_qat import Qat
from edgekit.passes.prune import Coupling, without
from edgekit.passes.quantize import quantize_with_report
from edgekit.pipeline import Source, prepare
from edgekit.pruning import Pruner
from edgekit.pruning_settings import Settings
from edgekit.trainable import GraphModule, to_graph, to_module
from tests.passes.test_prune import zeroed
from tests.test_states import cells, key_value_cache, streaming_convolution

NETS: dict[str, Callable[[], Graph]] = {
    "convolution": lambda: streaming_convolution()[0],
    "cache": key_value_cache,  # its states have no batch axis
    **{op: partial(cells, op) for op in ("LSTM", "GRU", "RNN")},
}


def data(graph: Graph, count: int = 24, most: int = 7, classes: int = 2) -> Dataset:
    """Sequences of several lengths; the class is told by whether the first input's second half is above its first."""
    rng = np.random.default_rng(3)
    samples, labels = list[dict[str, Array]](), list[int]()
    for number in range(count):
        length = int(rng.integers(2, most + 1))
        label = number % classes
        rise = np.linspace(-1, 1, length)[(slice(None),) + (None,) * len(graph[graph.inputs[0]].shape)] * (2 * label - 1)
        samples.append({n: (rng.normal(size=(length, *graph[n].shape)) * 0.4 + rise).astype(np.float32) for n in graph.inputs})
        labels.append(label)
    return Dataset("made up", np.arange(count), lambda i: samples[i], np.array(labels))


@pytest.mark.parametrize("name", NETS)
def test_unrolled_it_gives_what_the_reference_gives_step_by_step(name: str) -> None:
    graph = NETS[name]()
    given = data(graph, 5)
    module = to_module(graph)
    feeds = Feeder(graph, given, module.device).batch(np.arange(5))
    with torch.no_grad():
        found = module(feeds)[graph.outputs[0]].numpy()
    for row, sample in zip(found, given, strict=True):
        last = states.run(graph, sample)[-1][graph.outputs[0]]
        np.testing.assert_allclose(row.reshape(last.shape), last, atol=2e-5)


@pytest.mark.parametrize("name", NETS)
def test_gradients_go_back_through_time_as_far_as_asked(name: str) -> None:
    graph = NETS[name]()
    module = to_module(graph, scales=False)
    feeds = Feeder(graph, data(graph, 4), module.device).batch(np.arange(4))

    def gradients(back: int) -> dict[str, torch.Tensor]:
        module.back = back
        module.zero_grad()
        module(feeds)[graph.outputs[0]].square().sum().backward()
        return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}

    whole, short = gradients(100), gradients(1)
    assert whole
    assert any(not torch.allclose(g, short.get(n, torch.zeros_like(g))) for n, g in whole.items())
    # By a finite difference along the gradient itself.
    now = loss_of(module, feeds)
    size = sum(float(g.square().sum()) for g in whole.values())
    with torch.no_grad():
        for n, p in module.named_parameters():
            if n in whole:
                p.add_(whole[n], alpha=1e-3 / size**0.5)
    assert loss_of(module, feeds) - now == pytest.approx(1e-3 * size**0.5, rel=0.1)


def loss_of(module: GraphModule, feeds: dict[str, torch.Tensor]) -> float:
    """Sum of squares of the last answers."""
    with torch.no_grad():
        return float(module(feeds)[module.graph.outputs[0]].double().square().sum())


@pytest.mark.parametrize("name", ["convolution", "LSTM"])
def test_it_learns_and_pruned_comes_back(name: str) -> None:
    graph = replace(NETS[name](), outputs=(NETS[name]().outputs[0],))  # the LSTM's own values are none: its units may go
    given = data(graph, 64)
    module = to_module(graph)
    before = finetune.evaluate(module, given, "classification")
    assert before < 0.85
    finetune.train(module, given, task="classification", epochs=12, lr=3e-2, batch=16)
    after = finetune.evaluate(module, given, "classification")
    assert after > 0.85
    trained = to_graph(module)
    settings = Settings(ratio=0.3, multiple=1, epochs=12, lr=2e-2, batch=16, task="classification")
    pruner = Pruner(Source(name, "", trained), settings, None, given, given)
    pruned, steps = pruner.run()
    assert ops.macs(pruned) <= 0.7 * ops.macs(trained)
    assert finetune.evaluate(to_module(pruned), given, "classification") > after - 0.1
    assert len(pruned.states) == len(graph.states)
    assert steps


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_units_of_a_cell_go_with_what_is_carried(op: str) -> None:
    graph = replace(cells(op), outputs=("z",))
    rng = np.random.default_rng(0)
    inits = [replace(s, init=rng.normal(size=s.init.shape).astype(np.float32)) for s in graph.states]
    graph = replace(graph, states=tuple(inits))
    (group,) = Coupling(graph).groups()
    assert group.size == 10
    gone = [group.units[i] for i in (0, 3, 7)]
    cut = without(graph, gone)
    kept = [i for i in range(10) if i not in (0, 3, 7)]
    for before, after in zip(graph.states, cut.states, strict=True):
        assert np.array_equal(after.init, before.init[:, kept])
    # Zeros in every row, column and first value of a unit keep it out of what the others do.
    still = zeroed(graph, gone)
    firsts = tuple(replace(s, init=s.init * np.isin(np.arange(10), kept)) for s in still.states)
    for sample in data(graph, 2):
        whole, less = states.run(replace(still, states=firsts), sample), states.run(cut, sample)
        np.testing.assert_allclose([o["z"] for o in less], [o["z"] for o in whole], atol=1e-5)


@pytest.mark.parametrize("name", ["convolution", "cache", "LSTM"])
def test_trained_rounded_it_is_the_integer_network(name: str) -> None:
    graph = prepare(NETS[name](), "c", whole=True)
    given = data(graph, 12)
    if name == "cache":
        given = replace(given, labels=None)
    trainer = Qat(given, epochs=2, batch=4)
    done, report = quantize_with_report(graph, given, train=trainer)
    assert report.trained is not None
    assert trainer.module is not None
    first, found = done.outputs[0], outputs(done, given)
    for place, exact in enumerate(found):
        feeds = Feeder(trainer.module.graph, given, trainer.module.device).batch(np.array([place]))
        with torch.no_grad():
            real = trainer.module(feeds)[trainer.module.graph.outputs[0]].numpy()
        np.testing.assert_allclose(real.reshape(exact[first].shape), exact[first], atol=1e-6)
    assert trainer.compare(done, given).agreement == 1.0


def test_from_the_command_line(tmp_path: Path) -> None:
    """The file says which values are carried; data are sequences."""
    (tmp_path / "net.onnx").write_bytes(export_onnx(replace(cells("LSTM"), outputs=("z",))))
    x = np.random.default_rng(0).normal(size=(40, 5, 1, 6)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=(x.mean((1, 2, 3)) > 0).astype(np.int64))
    files = {verb: str(tmp_path / f"{verb}.onnx") for verb in ("prune", "distill", "quantize")}
    more = {
        "prune": ("--ratio", "0.3", "--no-bench", "--multiple", "1", "--target", "cortex-m4:flash=1M,ram=1M", "--epochs", "1"),
        "distill": ("--student-width", "0.5", "--epochs", "1"),
        "quantize": ("--qat", "1"),
    }
    for verb, out in files.items():
        source = files["prune"] if verb == "quantize" else str(tmp_path / "net.onnx")
        data = ("--data", str(tmp_path / "data.npz"), "--split", "25%")
        result = CliRunner().invoke(main, [verb, source, "-o", out, *data, *more[verb]])
        assert result.exit_code == 0, result.stderr
        assert "accuracy" in result.stdout
        made = load(out)
        assert len(made.states) == 2
        assert {s.init.shape for s in made.states} == {(1, 7 if verb != "distill" else 5)}
    assert "decide alike on 100.00%" in result.stdout


def test_what_sequences_do_not_do_is_refused() -> None:
    from edgekit.augment import parse_augment

    graph = NETS["LSTM"]()
    with pytest.raises(BadConfig, match="augment does not change sequences"):
        finetune.train(to_module(graph), data(graph), epochs=1, task="classification", augment=parse_augment("noise=0.1"))
    with pytest.raises(BadConfig, match="needs labels of their last steps"):
        finetune.train(to_module(graph), replace(data(graph), labels=None), epochs=1, task="reconstruction")
