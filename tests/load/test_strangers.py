"""What files of other makers do that none of the readers' own tests thought of: minimal forms of models once met."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.boundary import from_outputs, to_feeds
from edgekit.errors import BadData, BadModel, Unsupported
from edgekit.load.onnx import load_onnx
from edgekit.load.tflite import load_tflite
from edgekit.passes.quantize import quantize
from edgekit.pipeline import prepare
from tests.load.tflite_maker import O, T, constant, make

RNG = np.random.default_rng(3)


def onnx_bytes(nodes: list[onnx.NodeProto], shape: tuple[int, ...], held: dict[str, np.ndarray], opset: int = 17) -> bytes:
    """A model x -> y; held: {initializer: values}."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(v, k) for k, v in held.items()]
    told = [x, *(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in initializers)]
    graph = helper.make_graph(nodes, "g", told, [y], initializers)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3).SerializeToString())


def test_a_slope_vector_before_opset_7_belongs_to_the_channels() -> None:
    """As many channels as columns, so that a wrong axis would not be noticed by its shape."""
    slope = np.array([0.1, 0.5, 2.0], np.float32)
    graph = load_onnx(onnx_bytes([helper.make_node("PRelu", ["x", "s"], ["y"])], (1, 3, 2, 3), {"s": slope}, opset=6))
    x = RNG.normal(size=(1, 3, 2, 3)).astype(np.float32)
    y = reference.run(graph, to_feeds(graph, {"x": x}))["y"]
    np.testing.assert_array_equal(y, np.where(x < 0, x * slope.reshape(1, 3, 1, 1), x))


def test_a_model_of_foreign_operators_only_lists_them() -> None:
    nodes = [
        helper.make_node("Scaler", ["x"], ["h"], name="a", domain="ai.onnx.ml"),
        helper.make_node("LinearRegressor", ["h"], ["y"], domain="ai.onnx.ml"),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4)) for n in "xy")
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)])
    with pytest.raises(Unsupported) as caught:
        load_onnx(model.SerializeToString())
    assert "Scaler 'a': it belongs to 'ai.onnx.ml'" in str(caught.value)
    assert "LinearRegressor 'y'" in str(caught.value)


def test_data_beyond_float32_is_refused() -> None:
    graph = load_onnx(onnx_bytes([helper.make_node("Relu", ["x"], ["y"])], (1, 2), {}))
    with pytest.raises(BadData, match="beyond the range of float32"):
        to_feeds(graph, {"x": np.array([[1e300, 0.0]])})


def test_what_only_follows_from_a_refused_operator_is_not_blamed() -> None:
    """A shape computed through an operator that cannot be read: that one is listed, and not the RESHAPE behind it."""
    x, h, s, y = T("x", (1, 6)), T("h", (2,), dtype="int32"), T("s", (2,), dtype="int32"), T("y", (2, 3))
    model = make(
        [x, h, s, y, constant("c", np.array([2, 3], np.int32))],
        [
            O("UNIQUE", ["c"], ["h"]),
            O("RESHAPE", ["x", "h"], ["y"]),
        ],
        ["x"],
        ["y"],
    )
    with pytest.raises(Unsupported) as caught:
        load_tflite(model)
    assert "UNIQUE" in str(caught.value)
    assert "RESHAPE" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 2, 1, 5, 3), (2, 1, 4, 1, 3), (1, 1, 2, 3, 1)])
def test_repeated_heads_of_five_axes_run_at_four(shape: tuple[int, ...]) -> None:
    """Grouped-query attention repeats keys by an Expand of five axes."""
    wanted = np.array([max(n, 2 if i else n) for i, n in enumerate(shape)], np.int64)
    graph = load_onnx(onnx_bytes([helper.make_node("Expand", ["x", "s"], ["y"])], shape, {"s": wanted}))
    ready = prepare(graph, "c")
    assert all(len(t.shape) <= 4 for n in ready.nodes if n.op != "RESHAPE" for t in ready.output_tensors(n))
    x = {"x": RNG.normal(size=shape).astype(np.float32)}
    np.testing.assert_array_equal(reference.run(ready, to_feeds(ready, x))["y"], np.broadcast_to(x["x"], wanted))


def test_tiles_of_five_axes_run_at_four() -> None:
    times = np.array([1, 2, 1, 1, 3], np.int64)
    graph = load_onnx(onnx_bytes([helper.make_node("Tile", ["x", "t"], ["y"])], (1, 2, 3, 4, 2), {"t": times}))
    x = {"x": RNG.normal(size=(1, 2, 3, 4, 2)).astype(np.float32)}
    ready = prepare(graph, "c")
    np.testing.assert_array_equal(reference.run(ready, to_feeds(ready, x))["y"], np.tile(x["x"], times))


def test_elements_are_gathered_of_constants_by_fewer_indices() -> None:
    """Position ids: indices shorter than the table along an axis that is not gathered."""
    nodes = [helper.make_node("GatherElements", ["t", "i"], ["p"], axis=1), helper.make_node("Add", ["x", "p"], ["y"])]
    table, index = RNG.normal(size=(3, 4)).astype(np.float32), np.array([[3, -4, 1]], np.int64)
    graph = load_onnx(onnx_bytes(nodes, (1, 3), {"t": table, "i": index}))
    y = reference.run(graph, {"x": np.zeros((1, 3), np.float32)})["y"]
    np.testing.assert_array_equal(y, table[:1, [3, 0, 1]])


def sized(*inputs: tuple[str, list[str | int | None]]) -> bytes:
    """A model that outputs each of its inputs, negated."""
    nodes = [helper.make_node("Neg", [name], [name + "_y"]) for name, _ in inputs]
    ins = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    outs = [helper.make_tensor_value_info(name + "_y", TensorProto.FLOAT, None) for name, _ in inputs]
    graph = helper.make_graph(nodes, "g", ins, outs)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


def test_the_batch_of_a_state_is_not_its_first_axis() -> None:
    """A recurrent state is [layers, batch, units]: its batch has the name of the input's."""
    graph = load_onnx(sized(("x", ["n", 8]), ("h", [2, "n", 4]), ("c", [2, "batch_size", 4])))
    assert [graph[n].shape for n in graph.inputs] == [(1, 8), (2, 1, 4), (2, 1, 4)]


def test_one_shape_settles_all_inputs_of_the_same_names() -> None:
    model = sized(("ids", ["batch", "sequence"]), ("mask", ["batch", "sequence"]))
    graph = load_onnx(model, shapes={"ids": (1, 12)})
    assert graph["mask"].shape == (1, 12)
    with pytest.raises(BadModel, match="'ids' has a dynamic shape") as caught:
        load_onnx(model)
    assert "'mask' has a dynamic shape" in caught.value.message
    assert "--shape ids=1,16 --shape mask=1,16" in caught.value.hint


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (helper.make_node("Squeeze", ["x"], ["y"], axes=[0]), "has no attribute 'axes'"),
        (helper.make_node("Relu", ["x", "x"], ["y"]), "has 2 inputs, the operator of opset 17 takes 1"),
    ],
)
def test_a_node_that_breaks_its_definition_is_refused(node: onnx.NodeProto, why: str) -> None:
    """Passing over what is not understood would give another answer than the one meant."""
    with pytest.raises(BadModel, match=why):
        load_onnx(onnx_bytes([node], (1, 1, 4), {}))


def test_scores_that_are_all_but_equal_can_be_quantized() -> None:
    """The multiplier of an int8 softmax has no right shift: a finer step of its input is not to be had, nor needed."""
    nodes = [helper.make_node("Mul", ["x", "s"], ["h"]), helper.make_node("Softmax", ["h"], ["y"], axis=-1)]
    graph = prepare(load_onnx(onnx_bytes(nodes, (1, 8), {"s": np.array(1e-8, np.float32)})), "c")
    samples = [{"x": RNG.normal(size=(1, 8)).astype(np.float32)} for _ in range(3)]
    integer = quantize(graph, samples)
    y = from_outputs(integer, reference.run(integer, to_feeds(integer, samples[0])))["y"]
    np.testing.assert_array_equal(y, np.full((1, 8), 0.125, np.float32))


def test_all_nodes_of_a_kind_that_is_refused_are_listed() -> None:
    """Not the first of a chain alone: the second reads what the first would have made."""
    w = RNG.normal(size=(2, 2, 3, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="one", pads=[1] * 8),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["y"], name="two", pads=[1] * 8),
    ]
    with pytest.raises(Unsupported) as caught:
        load_onnx(onnx_bytes(nodes, (1, 2, 4, 4, 4, 4), {"w": w}))
    assert [where for where, _, _ in caught.value.problems] == ["Conv 'one'", "Conv 'two'"]
