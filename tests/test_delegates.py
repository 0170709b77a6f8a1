"""What accelerators refuse: each list's limits on small networks, the parts they make, and what `inspect` says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.specimens import specimen
from edgekit import ops
from edgekit.delegates import DELEGATES, check_delegate, partitions
from edgekit.export.onnx import written
from edgekit.graph import Graph, Node, Tensor, build, const
from edgekit.inspection import inspect_graph
from edgekit.passes.legalize import legalize
from edgekit.report.inspect import inspect_json, inspect_text
from edgekit.target import ACCELERATORS, load_target, profiles
from tests.bench.devices import dense


def net(*ops_: str, shape: tuple[int, ...] = (1, 6)) -> Graph:
    """One after another, each of one input."""
    names = ["x", *(f"t{i}" for i in range(len(ops_)))]
    nodes = [Node(op, (names[i],), (names[i + 1],), source=f"node {i}") for i, op in enumerate(ops_)]
    return build("chain", ["x"], [names[-1]], nodes, [Tensor(n, shape, "float32") for n in names])


def whys(graph: Graph, name: str) -> list[str]:
    found = check_delegate(graph, name)
    assert not found.problem
    return [why for _, _, why in found.refused]


def test_every_operator_is_judged_by_every_delegate() -> None:
    assert tuple(DELEGATES) == ACCELERATORS
    known = {path.stem: load_target(path).accelerators for path in profiles().values()}
    assert set().union(*known.values()) <= set(ACCELERATORS)
    taken = dict.fromkeys(DELEGATES, 0)
    for op in ops.TABLE:
        for name in DELEGATES:
            found = check_delegate(specimen(op), name)
            assert all(why for _, _, why in found.refused), (op, name)
            taken[name] += not found.refused and not found.problem
    assert taken["gpu"] > 80
    assert taken["coreml"] > 15
    assert taken["ethos-u55"] == 0  # the specimens are real numbers
    assert all(d.source.startswith("https://") for d in DELEGATES.values())


def test_parts_are_counted_as_the_runs_of_each_kind() -> None:
    graph = net("RELU", "LOG_SOFTMAX", "RELU", "TANH", "LOG_SOFTMAX")
    found = check_delegate(graph, "gpu")
    assert [(node, op) for node, op, _ in found.refused] == [("node 1", "LOG_SOFTMAX"), ("node 4", "LOG_SOFTMAX")]
    assert (found.taken, found.parts, found.cpu_parts) == (3, 2, 2)
    # Two branches need no more parts than one: what is ready runs together.
    pairs = [("RELU", "x", "a"), ("ROUND", "x", "b"), ("RELU", "b", "c"), ("RELU", "a", "d")]
    nodes = [Node(op, (source,), (made,)) for op, source, made in pairs]
    tensors = [Tensor(n, (1, 6), "float32") for n in "xabcd"]
    branches = build("branches", ["x"], ["c", "d"], nodes, tensors)
    assert partitions(branches, [True, False, True, True]) == (2, 1)


def test_limits_of_the_gpu_delegate() -> None:
    two = [Tensor("x", (1, 4, 1), "float32"), Tensor("y", (1, 1, 4), "float32"), Tensor("z", (1, 4, 4), "float32")]
    crossed = build("crossed", ["x", "y"], ["z"], [Node("MUL", ("x", "y"), ("z",))], two)
    assert "both inputs are broadcast" in whys(crossed, "gpu")[0]
    tensors = [Tensor("x", (1, 6), "float32"), Tensor("z", (1, 3), "float32")]
    sliced = Node("SLICE", ("x",), ("z",), {"begin": (0, 0), "size": (1, 3), "stride": (1, 1)})
    assert whys(build("s", ["x"], ["z"], [sliced], tensors), "gpu") == ["2 axes; it takes 3 or 4"]
    weights = const("w", np.ones((1, 3, 3, 8), np.float32))
    tensors = [Tensor("x", (1, 6, 6, 4), "float32"), weights, Tensor("z", (1, 4, 4, 8), "float32")]
    doubled = build("d", ["x"], ["z"], [Node("DEPTHWISE_CONV_2D", ("x", "w", None), ("z",))], tensors)
    assert whys(doubled, "gpu") == ["2 outputs a channel of 4 channels"]


def test_limits_of_core_ml_and_the_ethos() -> None:
    real, small = dense("float32"), dense("int8")
    assert whys(real, "coreml") == []
    assert whys(small, "coreml") == ["int8: it takes networks of real numbers"]
    assert whys(real, "ethos-u55") == ["float32: quantize the network to int8"]
    assert whys(small, "ethos-u55") == []
    assert whys(small, "qnn") == []
    assert whys(real, "qnn") == ["float32: its HTP takes quantized networks"]
    assert check_delegate(small, "ethos-u55").macs == 1.0
    assert check_delegate(real, "ethos-u55").macs == 0.0


def test_names_in_the_onnx_file() -> None:
    graph = legalize(net("RELU6", "HARD_SWISH"), "onnx")
    assert [names for _, names in written(graph)] == [("Clip",), ("HardSwish",)]
    assert whys(net("RELU6", "HARD_SWISH"), "nnapi") == ["HardSwish is not among its operators"]


@pytest.mark.parametrize("accelerators", [(), ("gpu", "ethos-u55")])
def test_inspect_says_it(accelerators: tuple[str, ...]) -> None:
    found = inspect_graph(net("RELU", "ROUND"), ("tflite",), accelerators)
    text, data = inspect_text(found), inspect_json(found)
    assert [d["name"] for d in data["delegates"]] == list(accelerators)
    if not accelerators:
        assert "delegate" not in text
        return
    assert "refuses 1 of 2 nodes: 1 part there and 1 on the CPU" in text
    assert "1 ROUND: is not among its operators (node 1)" in text
    assert "Arm Ethos-U55, by Vela 3.6): refuses all of it" in text
    assert data["delegates"][0]["refused"] == [{"node": "node 1", "op": "ROUND", "why": "is not among its operators"}]
