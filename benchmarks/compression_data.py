"""What the parts of benchmarks/compression.py share: networks with their data, judging, figures of an emulated Cortex-M4.

Data is in three parts that share no sample: what is trained on, what decides (a share of the training data, set aside before
training), and what is reported on, which nothing is chosen by.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from edgekit import evaluate
from edgekit.data import Dataset, from_arrays, open_data
from edgekit.graph import Graph
from edgekit.passes import finetune
from edgekit.pipeline import Source, open_model, quantize_graph
from edgekit.report.model import TargetResult
from edgekit.trainable import to_graph, to_module

MODELS = Path(__file__).parent.parent / "models"
NETS_FILE = Path(__file__).with_name("compression_nets.py")
SHIPPED, MADE = ("lenet5", "ds_cnn", "resnet8"), ("lstm", "transformer")
CALIBRATION = 256  # training samples that int8 ranges are from
FIRST_EPOCHS = 40  # that the networks made here are trained for


@cache
def opened(net: str) -> tuple[Source, Dataset, Dataset]:
    """A network, its training data and its test data."""
    return _shipped(net) if net in SHIPPED else _made(net)


def _shipped(net: str) -> tuple[Source, Dataset, Dataset]:
    source = open_model(MODELS / net / f"{net}.onnx")
    data, test = (open_data(f"{MODELS / net / 'model.py'}:data", source.graph, role=role) for role in ("train", "test"))
    return source, data, test


def _made(net: str) -> tuple[Source, Dataset, Dataset]:
    """A network of compression_nets.py, trained on three quarters of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    graph = open_model(f"{NETS_FILE}:build", args={"net": net}).graph
    loaded = load_digits()
    order = np.random.RandomState(0).permutation(len(loaded.target))
    x, y = (loaded.images[order] / 16).astype(np.float32), loaded.target[order].astype(np.int64)
    cut = len(x) * 3 // 4
    data, test = (
        from_arrays(graph, {graph.inputs[0]: x[part]}, y[part], name="digits") for part in (slice(cut), slice(cut, None))
    )
    module = to_module(graph)
    finetune.train(module, data, epochs=FIRST_EPOCHS, lr=3e-3, batch=64)
    return Source(net, "", to_graph(module)), data, test


def accuracy(graph: Graph, data: Dataset) -> float:
    """Share of samples whose largest output is the label's, by the reference; integer graphs by their integers."""
    assert data.labels is not None
    name = graph.outputs[0]
    answers = [int(np.argmax(found[name])) for found in evaluate.outputs(graph, data)]
    return float(np.mean(np.array(answers) == data.labels.reshape(-1)))


def quantized(graph: Graph, data: Dataset, engine: str) -> Graph:
    """int8, calibrated on training samples."""
    return quantize_graph(graph, data.subset(np.arange(min(CALIBRATION, len(data)))), engine).after


def figure(result: TargetResult, metric: str) -> float:
    """A measurement's value, NaN where it could not be had."""
    found = result.get(metric)
    return float("nan") if found is None or found.value is None else float(found.value)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of shares, in percent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} ± {100 * deviation:.2f}"
