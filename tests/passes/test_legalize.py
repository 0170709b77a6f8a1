"""legalize: what an engine lacks is rewritten to the same function; the rest is refused, all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.errors import Unsupported
from edgekit.graph import Quant
from edgekit.passes.legalize import ENGINE_OPS, illegal, legalize
from edgekit.passes.rebatch import rebatch
from edgekit.passes.simplify import residual_transposes, simplify
from tests.passes.net import Net, assert_same, ops
from tests.passes.random_net import random_graph, random_int8_graph
from tests.passes.test_simplify import NETS, Q, finished, shuffle


def legal(net: Net, engine: str = "tflm", exact: bool = False) -> list[str]:
    """The operators of the net's last value, legalized, after checking that the results are the same."""
    graph = net.graph(net.nodes[-1].outputs[0])
    after = legalize(graph, engine)
    assert_same(graph, after, exact)
    assert illegal(after, engine) == []
    return ops(after)


@pytest.mark.parametrize("engine", ENGINE_OPS)
@pytest.mark.parametrize("make", [*NETS.values(), shuffle], ids=lambda f: f.__name__)
def test_nets_stay_the_same(make: Callable[[], Net], engine: str) -> None:
    for graph in (simplify(finished(make())), simplify(finished(make()), "train"), finished(make())):
        after = legalize(graph, engine)
        assert_same(graph, after)
        assert illegal(after, engine) == []
        assert {n.op for n in after.nodes} <= ENGINE_OPS[engine]


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_stay_the_same(seed: int) -> None:
    for graph, exact in ((simplify(random_graph(seed)), False), (random_int8_graph(seed), True)):
        for engine in ("tflm", "c"):
            assert_same(graph, legalize(graph, engine), exact)


def test_an_unknown_engine() -> None:
    with pytest.raises(ValueError, match="engine"):
        legalize(finished(NETS["inception"]()), "tflite3")


# -- padding ----------------------------------------------------------------------------------------------------------

GEOMETRY = [
    # size, kernel, stride, dilation, pad, what is left before the window
    ((8, 8), 3, 1, 1, (1, 1, 1, 1), None),  # SAME
    ((8, 8), 3, 1, 1, (0, 0, 0, 0), None),  # VALID
    ((8, 8), 3, 2, 1, (0, 1, 0, 1), None),  # SAME of TensorFlow
    ((8, 8), 3, 2, 1, (1, 1, 1, 1), "PAD"),  # of PyTorch
    ((9, 9), 3, 2, 1, (1, 1, 1, 1), None),
    ((8, 8), 3, 2, 1, (0, 1, 1, 1), "PAD"),
    ((8, 7), 3, 1, 2, (2, 2, 2, 2), None),
    ((8, 7), 3, 3, 1, (0, 0, 0, 1), None),  # nothing reads the padding
    ((8, 7), 4, 1, 1, (1, 2, 1, 2), None),
    ((8, 7), 4, 1, 1, (2, 1, 2, 1), "PAD"),
    ((1, 9), 3, 1, 1, (1, 1, 2, 0), "PAD"),
]


def windowed(op: str, size: tuple[int, int], k: int, stride: int, dilation: int, pad: Any, quant: Quant | None = None) -> Net:
    net = Net()
    x = net.input(2, *size, 4, quant=quant)
    attrs: dict[str, Any] = {"stride": (stride, stride), "pad": pad}
    if op in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
        w = net.random(3, k, k, 4) if op == "CONV_2D" else net.random(1, k, k, 8)
        net.add(op, x, w, net.random(net.shape(w)[0 if op == "CONV_2D" else 3]), dilation=(dilation,) * 2, **attrs)
    else:
        net.add(op, x, filter=(k, k), quant=quant, **attrs)
    return net


@pytest.mark.parametrize(("size", "k", "stride", "dilation", "pad", "left"), GEOMETRY)
@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_convolutions_are_padded_as_tflite_can(
    op: str, size: Any, k: int, stride: int, dilation: int, pad: Any, left: Any
) -> None:
    assert legal(windowed(op, size, k, stride, dilation, pad)) == ([left] if left else []) + [op]
    assert legal(windowed(op, size, k, stride, dilation, pad), "c") == [op]


@pytest.mark.parametrize(("size", "k", "stride", "dilation", "pad", "left"), [g for g in GEOMETRY if g[3] == 1])
def test_pools_are_padded_as_tflite_can(size: Any, k: int, stride: int, dilation: int, pad: Any, left: Any) -> None:
    after = legal(windowed("AVERAGE_POOL_2D", size, k, stride, dilation, pad), "tflite")
    assert after == (["PAD", "AVERAGE_POOL_2D", "MUL"] if left else ["AVERAGE_POOL_2D"])
    after = legal(windowed("MAX_POOL_2D", size, k, stride, dilation, pad))
    assert set(after) == ({"GATHER", "MAX_POOL_2D"} if left else {"MAX_POOL_2D"})
    after = legal(windowed("MAX_POOL_2D", size, k, stride, dilation, pad, Q), exact=True)
    assert set(after) == ({"GATHER", "MAX_POOL_2D"} if left else {"MAX_POOL_2D"})


def test_a_maximum_of_what_is_not_negative_is_padded_with_zero() -> None:
    for quant in (None, Q):
        net = Net()
        x = net.add("MAX_POOL_2D", net.add("RELU", net.input(1, 8, 8, 3, quant=quant), quant=quant), filter=(1, 1), quant=quant)
        net.add("MAX_POOL_2D", x, filter=(3, 3), stride=(2, 2), pad=(1, 1, 1, 1), quant=quant)
        assert legal(net, exact=True)[-2:] == ["PAD", "MAX_POOL_2D"]
    net = Net()
    net.add("MAX_POOL_2D", net.input(1, 8, 8, 3), filter=(3, 3), stride=(2, 2), pad=(1, 1, 1, 1), activation="RELU6")
    assert legal(net) == ["PAD", "MAX_POOL_2D"]


def test_a_quantized_average_of_odd_padding_is_refused() -> None:
    net = windowed("AVERAGE_POOL_2D", (8, 8), 3, 2, 1, (1, 1, 1, 1), Q)
    graph = net.graph(net.nodes[-1].outputs[0])
    with pytest.raises(Unsupported, match="neither SAME nor VALID"):
        legalize(graph, "tflite")
    assert ops(legalize(graph, "c")) == ["AVERAGE_POOL_2D"]


# -- operators --------------------------------------------------------------------------------------------------------


def test_batch_norm_is_a_depthwise_convolution() -> None:
    net = Net()
    net.add("RELU", net.norm(net.add("TANH", net.input(2, 4, 5, 5))))
    assert "DEPTHWISE_CONV_2D" in legal(net)
    assert "BATCH_NORM" not in legal(net, "c")
    net = Net()
    net.norm(net.add("TANH", net.input(2, 4)))
    assert legal(net) == ["TANH", "MUL", "ADD"]


@pytest.mark.parametrize("alpha", [1 / 6, 0.2])
def test_hard_sigmoid(alpha: float) -> None:
    net = Net()
    net.add("HARD_SIGMOID", net.add("MUL", net.input(2, 40), net.value(np.float32(4))), alpha=alpha)
    assert legal(net) == ["MUL"] + ["MUL"] * (alpha == 0.2) + ["ADD", "MUL"]
    assert legal(net, "c") == ["MUL", "HARD_SIGMOID"]


@pytest.mark.parametrize(("approximate", "tolerance"), [(True, 2e-6), (False, 6e-4)])
def test_gelu_for_tflm_is_the_form_with_tanh(approximate: bool, tolerance: float) -> None:
    net = Net()
    graph = net.graph(net.add("GELU", net.input(1, 2001), approximate=approximate))
    made = legalize(graph, "tflm")
    assert not {"GELU", "TANH"} & {n.op for n in made.nodes}
    x = {"x": np.linspace(-10, 10, 2001, dtype=np.float32)[None]}
    ours, theirs = (reference.run(g, x)[graph.outputs[0]] for g in (made, graph))
    np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_relu_n1_to_1_is_fused_in_tflm() -> None:
    net = Net()
    net.add("RELU_N1_TO_1", net.input(2, 40))
    assert legal(net, "tflm") == ["MUL"]
    assert legal(net, "tflite") == ["RELU_N1_TO_1"]


def test_a_quantized_relu6_of_two_scales_is_rescaled_first() -> None:
    net = Net()
    net.add("RELU6", net.input(4, 256, quant=Q), quant=Quant.per_tensor(0.02, -100))
    assert legal(net, "tflm", exact=True) == ["QUANTIZE", "RELU6"]
    assert legal(net, "c", exact=True) == ["RELU6"]


@pytest.mark.parametrize("quant", [None, Q])
def test_tflm_concatenates_ten_at_most(quant: Quant | None) -> None:
    net = Net()
    parts = net.many("SPLIT", net.input(1, 111, 2, quant=quant), axis=1, sizes=(1,) * 111, outputs=111, quant=quant)
    net.add("CONCATENATION", *parts[::-1], axis=1, quant=quant)
    assert legal(net, "tflm", exact=True) == ["SPLIT"] + ["CONCATENATION"] * (11 + 2 + 1)
    assert legal(net, "c") == ["SPLIT", "CONCATENATION"]


def test_a_concatenation_of_many_scales_is_refused() -> None:
    net = Net()
    parts = [net.input(1, 2, name=f"x{i}", quant=Quant.per_tensor(0.1 + i)) for i in range(12)]
    with pytest.raises(Unsupported, match="12 inputs"):
        legalize(net.graph(net.add("CONCATENATION", *parts, axis=1, quant=Quant.per_tensor(0.1))), "tflm")


# -- rank -------------------------------------------------------------------------------------------------------------


def five_axes(op: str) -> Net:
    net = Net()
    x = net.input(2, 3, 1, 4, 5)
    make: dict[str, Callable[[], str]] = {
        "TRANSPOSE": lambda: net.add("TRANSPOSE", x, perm=(0, 3, 4, 2, 1)),
        "TRANSPOSE of the batch": lambda: net.add("TRANSPOSE", x, perm=(3, 4, 0, 2, 1)),
        "TANH": lambda: net.add("TANH", x),
        "ADD": lambda: net.add("ADD", x, x),
        "ADD broadcast": lambda: net.add("ADD", x, net.add("TANH", net.input(3, 1, 1, 1, name="z"))),
        "MUL constant": lambda: net.add("MUL", x, net.random(4, 5)),
        "CONCATENATION": lambda: net.add("CONCATENATION", x, x, axis=3),
        "SPLIT": lambda: net.add("SPLIT", x, axis=1, sizes=(1, 2), outputs=2),
        "SOFTMAX": lambda: net.add("SOFTMAX", x),
        "MEAN": lambda: net.add("MEAN", x, axes=(3, 4)),
        "MEAN kept": lambda: net.add("MEAN", x, axes=(1, 2), keep_dims=True),
        "PAD": lambda: net.add("PAD", x, pads=((0, 0), (0, 0), (0, 0), (1, 2), (0, 1)), value=0.5),
        "SLICE": lambda: net.add("SLICE", x, begin=(0, 2, 0, 0, 1), size=(2, 2, 1, 4, 3), stride=(1, -1, 1, 1, 1)),
        "GATHER": lambda: net.add("GATHER", x, net.value(np.array([2, 0], np.int32)), axis=3),
        "FULLY_CONNECTED": lambda: net.dense(x, 3, keep_dims=True),
    }
    make[op]()
    return net


@pytest.mark.parametrize(
    "op",
    [
        "TRANSPOSE", "TRANSPOSE of the batch", "TANH", "ADD", "ADD broadcast", "MUL constant", "CONCATENATION", "SPLIT",
        "SOFTMAX", "MEAN", "MEAN kept", "PAD", "SLICE", "GATHER", "FULLY_CONNECTED",
    ],
)  # fmt: skip
def test_five_axes_become_four(op: str) -> None:
    net = five_axes(op)
    for engine in ("tflm", "c"):
        assert op.split()[0] in legal(net, engine)
    assert legal(net, "onnx") == [op.split()[0]] if op != "ADD broadcast" else True


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("perm", [(0, 1, 4, 2, 5, 3), (0, 5, 4, 3, 2, 1), (0, 2, 4, 1, 3, 5), (0, 3, 1, 5, 2, 4)])
def test_a_transpose_of_six_axes_takes_steps(batch: int, perm: Any) -> None:
    net = Net()
    net.add("TRANSPOSE", net.input(batch, 2, 3, 4, 2, 3), perm=perm)
    assert 2 <= legal(net).count("TRANSPOSE") <= 3
    graph = net.graph(net.nodes[-1].outputs[0])
    assert_same(rebatch(graph, 3), rebatch(legalize(graph, "tflm"), 3))


def test_a_pixel_shuffle() -> None:
    net = Net()
    x = net.conv(net.input(1, 3, 4, 5), 12)
    x = net.add("TRANSPOSE", net.reshape(x, 1, 3, 2, 2, 4, 5), perm=(0, 1, 4, 2, 5, 3))
    net.conv(net.reshape(x, 1, 3, 8, 10), 2)
    graph = simplify(finished(net))
    assert len(residual_transposes(graph)) == 1
    assert_same(graph, legalize(graph, "tflm"))


def test_what_cannot_be_done_is_listed_at_once() -> None:
    net = Net()
    x = net.input(2, 3, 4, 5, 6)
    y = net.add("MUL", net.add("TANH", x), net.random(1, 3, 1, 5, 1))
    z = net.add("MUL", net.add("TANH", x), net.random(3, 1, 5, 1))
    z = net.add("MUL", z, net.random(2, 1, 4, 1, 6))
    with pytest.raises(Unsupported) as caught:
        legalize(net.graph(y, z), "tflm")
    assert len(caught.value.problems) == 3
    assert "5 axes" in str(caught.value)
