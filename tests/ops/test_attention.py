from __future__ import annotations

import numpy as np
import pytest

from edgekit import ops
from edgekit.errors import BadModel
from edgekit.graph import Node, Tensor
from tests.ops.draw import activation, any_quant, floats, scale_of
from tests.ops.ort_judge import run_ort, run_real
from tests.tflm_judge import agree, feeds_for, one_node


@pytest.mark.parametrize(("a", "b"), [((3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 6)), ((1, 3, 4), (2, 4, 1))])
def test_products_equal_onnx_runtime(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, y = floats(rng, *a), floats(rng, *b)
    (expected,) = run_ort("MatMul", [x, y])
    for adj_x in (False, True):
        for adj_y in (False, True):
            given = [np.swapaxes(v, -1, -2) if adj else v for v, adj in ((x, adj_x), (y, adj_y))]
            (made,) = run_real("BATCH_MATMUL", given, adj_x=adj_x, adj_y=adj_y)
            np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)


def test_integer_products_equal_tflm() -> None:
    for seed in range(24):
        rng = np.random.default_rng(seed)
        batch, rows, depth, columns = (int(n) for n in rng.integers(1, 9, 4))
        adj_x, adj_y = bool(seed & 1), bool(seed & 2)
        a = activation("a", (batch, depth, rows) if adj_x else (batch, rows, depth), rng)
        b = activation("b", (batch, columns, depth) if adj_y else (batch, depth, columns), rng)
        quant = any_quant(rng, scale_of(a) * scale_of(b) * float(rng.uniform(20, 500)))
        graph = one_node("BATCH_MATMUL", [a, b], [quant], {"adj_x": adj_x, "adj_y": adj_y})
        agree(graph, feeds_for(graph, rng))


def test_log_softmax_equals_onnx_runtime() -> None:
    x = floats(np.random.default_rng(1), 3, 4, 5) * 10
    np.testing.assert_allclose(run_real("LOG_SOFTMAX", [x])[0], run_ort("LogSoftmax", [x], axis=-1)[0], rtol=1e-5, atol=1e-5)


def test_matrices_that_do_not_multiply_are_refused() -> None:
    with pytest.raises(BadModel, match="do not multiply"):
        ops.infer(
            Node("BATCH_MATMUL", ("a", "b"), ("y",), {}, "n"), [Tensor("a", (2, 3), "float32"), Tensor("b", (2, 3), "float32")]
        )


def test_multiply_accumulates() -> None:
    a, b, y = Tensor("a", (2, 3, 4), "float32"), Tensor("b", (2, 5, 4), "float32"), Tensor("y", (2, 3, 5), "float32")
    rule = ops.TABLE["BATCH_MATMUL"].macs
    assert rule is not None
    assert rule(Node("BATCH_MATMUL", ("a", "b"), ("y",), {"adj_y": True}), [a, b], [y]) == 2 * 3 * 4 * 5
