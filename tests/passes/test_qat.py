"""Quantization-aware training: its float32 mode answers as the integer network does, and it mends what rounding broke."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit import reference
from edgekit.boundary import random_samples, to_feeds
from edgekit.data import Dataset, open_data
from edgekit.errors import BadConfig
from edgekit.evaluate import accuracy
from edgekit.graph import Graph
from edgekit.passes.quantize import Scheme, choose, observe, quantize, quantize_with_report, wanted
from edgekit.pipeline import quantize_graph
from tests.passes.net import Net
from tests.test_ladder import digits, hard, trained


def net() -> Graph:
    """Every kind of layer that learns, moves and tables, and a softmax."""
    made = Net(5)
    x = made.input(1, 8, 8, 3)
    a = made.add("CONV_2D", x, made.random(8, 3, 3, 3), made.random(8), pad=(1, 1, 1, 1), activation="RELU")
    b = made.add("DEPTHWISE_CONV_2D", a, made.random(1, 3, 3, 8), made.random(8), pad=(1, 1, 1, 1), activation="RELU6")
    c = made.add("ADD", a, b)
    d = made.add("MAX_POOL_2D", made.add("HARD_SWISH", c), filter=(2, 2), stride=(2, 2))
    e = made.add("FULLY_CONNECTED", made.add("MEAN", d, axes=(1, 2)), made.random(6, 8), made.random(6))
    return made.graph(made.add("SOFTMAX", e))


def test_training_mode_and_integer_network_are_a_step_apart() -> None:
    import torch

    from edgekit.passes.finetune_qat import rounded
    from edgekit.trainable import to_module

    graph = net()
    samples = random_samples(graph, 32)
    choice = choose(graph, observe(graph, samples, wanted(graph)))
    exact = quantize(graph, samples)
    module = to_module(graph, scales=False)
    module.transform.update(rounded(graph, choice))
    same = total = 0
    for sample in samples:
        feeds = {n: torch.from_numpy(v) for n, v in to_feeds(graph, sample).items()}
        names = [n.outputs[0] for n in graph.nodes]
        with torch.no_grad():
            soft = module(feeds, keep=names)
        values = reference.run(exact, to_feeds(exact, sample), names)
        for name in names:
            tensor = exact[name]
            assert tensor.quant is not None
            steps = soft[name].numpy() / tensor.quant.scale + tensor.quant.zero_point
            gap = np.abs(steps - values[name])
            # A step of a score moves a softmax by up to p (1 - p) 256 score steps.
            assert gap.max() < (1.01 if name == names[0] else 8.01 if name == names[-1] else 4.01)
            same, total = same + int((gap < 0.01).sum()), total + gap.size
    assert same / total > 0.97


def test_training_mends_what_rounding_broke(tmp_path: Path) -> None:
    from edgekit.passes.finetune_qat import Qat

    train, test = digits()
    graph = hard(trained(train), most=1)
    np.savez(tmp_path / "train.npz", x=train["x"], y=train["y"])
    np.savez(tmp_path / "test.npz", x=test["x"], y=test["y"])
    data, judged = (open_data(tmp_path / f"{n}.npz", graph) for n in ("train", "test"))
    coarse = Scheme("coarse", weights="int4")  # 15 steps for all weights of a layer
    trainer = Qat(data, epochs=4, lr=2e-3)
    done, report = quantize_with_report(graph, data, scheme=coarse, train=trainer)
    before, broken, mended = (accuracy(g, judged).value or 0.0 for g in (graph, quantize(graph, data, scheme=coarse), done))
    assert broken < before - 0.1
    assert mended > before - 0.03
    assert report.trained is not None
    compared = trainer.compare(done, judged)
    assert compared.samples == 450
    assert compared.agreement is not None
    assert compared.agreement >= 0.995


def test_schemes_that_only_store_weights_refuse_ways_they_have_no_use_for() -> None:
    graph = net()
    samples = random_samples(graph, 4)
    data = Dataset("made up", np.arange(4), lambda i: samples[i])
    with pytest.raises(BadConfig, match="--equalize, --qat: float16 computes in float32"):
        quantize_graph(graph, data, "tflite", scheme="float16", equalize=True, qat=1)
