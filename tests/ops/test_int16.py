"""int16 activations: the op table against TensorFlow Lite Micro, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgekit import reference
from edgekit.errors import BadModel
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const
from edgekit.ops import infer
from edgekit.ops.int16 import WIDE, look_up, softmax_tables
from tests.ops.draw import FUSED, ints, weights
from tests.tflm_judge import agree, feeds_for, one_node, same_pad

Maker = Callable[[np.random.Generator], Graph]


def quant(scale: float) -> Quant:
    return Quant.per_tensor(scale, 0, "int16")


def wide(name: str, shape: tuple[int, ...], scale: float) -> Tensor:
    return Tensor(name, shape, "int16", None, quant(scale))


def any_scale(rng: np.random.Generator, low: float = -5, high: float = -2) -> float:
    return float(10 ** rng.uniform(low, high))


def bias_for(x: Tensor, w: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """int64; now and then beyond 32 bits."""
    assert x.quant is not None
    assert w.quant is not None
    scale = x.quant.scale[0] * w.quant.scale
    most = 1 << int(rng.integers(10, 38))
    given = Quant(scale, np.zeros(scale.size, np.int64), 0 if scale.size > 1 else None, None, "int64")
    return const("b", rng.integers(-most, most, count), given)


def sum_quant(x: Tensor, w: Tensor, rng: np.random.Generator) -> Quant:
    assert x.quant is not None
    assert w.quant is not None
    return quant(float(x.quant.scale[0]) * float(w.quant.scale.mean()) * float(rng.uniform(20, 800)))


def conv(op: str) -> Maker:
    def make(rng: np.random.Generator) -> Graph:
        depthwise = op == "DEPTHWISE_CONV_2D"
        kernel, stride = ints(rng, 1, 4, 2), ints(rng, 1, 3, 2)
        dilation = ints(rng, 1, 3, 2) if stride == (1, 1) else (1, 1)
        groups = 1 if depthwise else int(rng.integers(1, 3))
        c = groups * int(rng.integers(1, 9))
        o = c * int(rng.integers(1, 4)) if depthwise else groups * int(rng.integers(1, 8))
        x = wide("x", (int(rng.integers(1, 3)), *ints(rng, 5, 10, 2), c), any_scale(rng))
        each = rng.random() < 0.7
        w = weights((1, *kernel, o), 3, rng, each) if depthwise else weights((o, *kernel, c // groups), 0, rng, each)
        pad = same_pad(x.shape[1:3], kernel, stride, dilation) if rng.random() < 0.5 else (0, 0, 0, 0)
        attrs = {"stride": stride, "dilation": dilation, "pad": pad, "activation": str(rng.choice(FUSED))}
        return one_node(op, [x, w, bias_for(x, w, o, rng)], [sum_quant(x, w, rng)], attrs)

    return make


def dense(rng: np.random.Generator) -> Graph:
    rows, depth, count = ints(rng, 1, 40, 3)
    x, w = wide("x", (rows, depth), any_scale(rng)), weights((count, depth), 0, rng, rng.random() < 0.5)
    inputs = [x, w, bias_for(x, w, count, rng)] if rng.random() < 0.7 else [x, w]
    return one_node("FULLY_CONNECTED", inputs, [sum_quant(x, w, rng)], {"activation": str(rng.choice(FUSED))})


def transpose_conv(rng: np.random.Generator) -> Graph:
    kernel, stride, c, o = ints(rng, 2, 4, 2), ints(rng, 1, 3, 2), int(rng.integers(1, 6)), int(rng.integers(1, 6))
    x, w = wide("x", (1, *ints(rng, 2, 5, 2), c), any_scale(rng)), weights((o, *kernel, c), 0, rng, True)
    return one_node("TRANSPOSE_CONV", [x, w, bias_for(x, w, o, rng)], [sum_quant(x, w, rng)], {"stride": stride})


def matmul(rng: np.random.Generator) -> Graph:
    n, rows, depth, columns = ints(rng, 1, 7, 4)
    a, b = wide("a", (n, rows, depth), any_scale(rng)), wide("b", (n, depth, columns), any_scale(rng))
    assert a.quant is not None
    assert b.quant is not None
    scale = float(a.quant.scale[0]) * float(b.quant.scale[0]) * float(rng.uniform(5000, 200000))
    return one_node("BATCH_MATMUL", [a, b], [quant(scale)], {})


def two(op: str) -> Maker:
    def make(rng: np.random.Generator) -> Graph:
        shape = ints(rng, 1, 6, 3)
        scale = any_scale(rng)
        other = scale if op in {"MAXIMUM", "MINIMUM"} else scale * float(rng.uniform(0.05, 20))
        a, b = wide("a", shape, scale), wide("b", shape if rng.random() < 0.6 else (1, 1, shape[2]), other)
        if op == "MUL":
            out = scale * other * float(rng.uniform(3000, 40000))
        else:
            out = scale if scale == other else max(scale, other) * float(rng.uniform(0.2, 3))
        attrs = {} if op in {"MAXIMUM", "MINIMUM"} else {"activation": str(rng.choice(FUSED))}
        return one_node(op, [a, b], [quant(out)], attrs)

    return make


def pool(op: str) -> Maker:
    def make(rng: np.random.Generator) -> Graph:
        x = wide("x", (1, *ints(rng, 4, 9, 2), int(rng.integers(1, 6))), any_scale(rng))
        window, stride = ints(rng, 1, 4, 2), ints(rng, 1, 3, 2)
        pad = same_pad(x.shape[1:3], window, stride, (1, 1)) if rng.random() < 0.5 else (0, 0, 0, 0)
        attrs = {"filter": window, "stride": stride, "pad": pad, "activation": str(rng.choice(FUSED))}
        return one_node(op, [x], [x.quant], attrs)

    return make


def reduction(op: str) -> Maker:
    def make(rng: np.random.Generator) -> Graph:
        scale = any_scale(rng)
        x = wide("x", (1, *ints(rng, 1, 9, 3)), scale)
        count = x.shape[1] * x.shape[2]
        out = scale * float(rng.uniform(0.3, 2)) * (1 if op == "MEAN" else count)
        return one_node(op, [x], [quant(out)], {"axes": (1, 2), "keep_dims": bool(rng.random() < 0.5)})

    return make


def one(op: str) -> Maker:
    def make(rng: np.random.Generator) -> Graph:
        scale = any_scale(rng, -5, -2.5) if rng.random() < 0.8 else 2.0 ** int(rng.integers(-14, -9))
        x = wide("x", (*ints(rng, 1, 4, 1), int(rng.integers(1, 90))), scale)
        out = (
            1 / 32768
            if op in {"LOGISTIC", "TANH", "SOFTMAX"}
            else scale
            if op == "RELU6"
            else scale * float(rng.uniform(0.2, 3))
        )
        attrs = {"LEAKY_RELU": {"alpha": float(rng.uniform(-0.3, 0.9))}, "SOFTMAX": {"beta": float(rng.uniform(0.3, 2))}}
        return one_node(op, [x], [quant(out)], attrs.get(op, {}))

    return make


def moved(op: str, attrs: dict[str, object], count: int = 1) -> Maker:
    def make(rng: np.random.Generator) -> Graph:
        x = wide("x", (2, 4, 6, 3), any_scale(rng))
        inputs = [x, Tensor("z", x.shape, "int16", None, x.quant)] if op == "CONCATENATION" else [x]
        return one_node(op, inputs, [x.quant] * count, attrs)

    return make


MAKERS: dict[str, Maker] = {
    **{op: conv(op) for op in ("CONV_2D", "DEPTHWISE_CONV_2D")},
    "FULLY_CONNECTED": dense,
    "TRANSPOSE_CONV": transpose_conv,
    "BATCH_MATMUL": matmul,
    **{op: two(op) for op in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM")},
    **{op: pool(op) for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D")},
    **{op: reduction(op) for op in ("MEAN", "SUM")},
    **{op: one(op) for op in ("LOGISTIC", "TANH", "SOFTMAX", "RELU", "RELU6", "LEAKY_RELU")},
    "RESHAPE": moved("RESHAPE", {"shape": (8, 18)}),
    "TRANSPOSE": moved("TRANSPOSE", {"perm": (0, 3, 1, 2)}),
    "SLICE": moved("SLICE", {"begin": (0, 3, 0, 1), "size": (2, 2, 3, 2), "stride": (1, -1, 2, 1)}),
    "SPLIT": moved("SPLIT", {"axis": 2, "sizes": (1, 5)}, 2),
    "PAD": moved("PAD", {"pads": ((0, 0), (1, 2), (0, 1), (0, 0))}),
    "CONCATENATION": moved("CONCATENATION", {"axis": 3}),
    "RESIZE_NEAREST_NEIGHBOR": moved("RESIZE_NEAREST_NEIGHBOR", {"size": (7, 5)}),
}


@pytest.mark.parametrize("op", sorted(MAKERS))
def test_integers_equal_tflm(op: str) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        graph = MAKERS[op](rng)
        agree(graph, feeds_for(graph, rng))


def test_every_operator_of_int16_is_judged() -> None:
    assert WIDE - MAKERS.keys() == {"RELU_N1_TO_1"}  # TFLM has it only fused


@pytest.mark.parametrize("kinds", [("float32", "int16"), ("int16", "int8"), ("int8", "int16"), ("int16", "int16")])
def test_quantize_equals_tflm(kinds: tuple[str, str]) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        zeros = [int(rng.integers(-128, 128)) if kind == "int8" else 0 for kind in kinds]
        given = None if kinds[0] == "float32" else Quant.per_tensor(any_scale(rng, -3), zeros[0], kinds[0])
        x = Tensor("x", (7, 33), kinds[0], None, given)
        y = Quant.per_tensor(any_scale(rng, -3), zeros[1], kinds[1])
        graph = one_node("QUANTIZE", [x], [y], {"dtype": kinds[1]})
        agree(graph, feeds_for(graph, rng))


def test_all_inputs_of_sigmoid_tanh_and_a_softmax_of_two() -> None:
    """Every int16 value, in rows of two for the softmax: all of exp's table and every share of the reciprocal's."""
    every = np.arange(-32768, 32768).astype(np.int16)
    for scale in (2.0**-12, 2.0**-11, 2.0**-13, 3.1e-4, 2e-5, 0.01):
        for op in ("LOGISTIC", "TANH"):
            agree(one_node(op, [wide("x", (1, 65536), scale)], [quant(1 / 32768)], {}), {"x": every.reshape(1, -1)})
    pairs = np.stack([every, np.full_like(every, 32767)], axis=1)
    for scale in (10 / 65535, 1e-4, 7e-4):
        agree(one_node("SOFTMAX", [wide("x", pairs.shape, scale)], [quant(1 / 32768)], {}), {"x": pairs})


def test_softmax_tables_are_near_their_functions() -> None:
    x = np.arange(-32768, 32768)
    exp, reciprocal = softmax_tables()
    np.testing.assert_allclose(look_up(exp, x) / 32768, np.exp(10 / 65535 * (x - 32767)), atol=2.5e-4)
    np.testing.assert_allclose(look_up(reciprocal, x) / 32768, 1 / (1 + (x + 32768) / 65535), atol=6e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: (x(3), None), "symmetric"),
        (lambda x: (x(0), Tensor("b", (1, 4), "int8", None, Quant.per_tensor(0.1))), "beside"),
    ],
)
def test_what_is_not_symmetric_int16_is_refused(
    make: Callable[[Callable[[int], Tensor]], tuple[Tensor, Tensor | None]], message: str
) -> None:
    a, b = make(lambda zero: Tensor("a", (1, 4), "int16", None, Quant.per_tensor(0.1, zero, "int16")))
    other = b or Tensor("b", (1, 4), "int16", None, quant(0.1))
    node = Node("ADD", ("a", "b"), ("y",), {}, "sum")
    graph = build("g", ["a", "b"], ["y"], [node], [a, other, wide("y", (1, 4), 0.2)])
    feeds: dict[str, Array] = {t.name: np.zeros(t.shape, t.dtype) for t in (a, other)}
    with pytest.raises(BadModel, match=message):
        reference.run(graph, feeds)


def test_an_operator_without_int16_meaning_is_refused() -> None:
    x = wide("x", (1, 4), 0.1)
    node = Node("HARD_SWISH", ("x",), ("y",), {}, "swish")
    shape, dtype = infer(node, [x])[0]
    graph = build("g", ["x"], ["y"], [node], [x, Tensor("y", shape, dtype, None, quant(0.1))])
    with pytest.raises(BadModel, match="no int16 meaning"):
        reference.run(graph, {"x": np.zeros((1, 4), np.int16)})
