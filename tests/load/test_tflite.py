"""The TFLite reader, judged by LiteRT on files that other converters could have written."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.litert import run_litert
from edgekit.errors import BadModel, Unsupported
from edgekit.graph import Array, Graph
from edgekit.load.tflite import load_tflite
from tests.load.tflite_maker import O, T, constant, make

RNG = np.random.default_rng(7)


def floats(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def agrees(model: bytes, feeds: dict[str, Array] | None = None, tolerance: float = 1e-5) -> Graph:
    """The graph, after LiteRT's plain kernels gave the same outputs."""
    graph = load_tflite(model)
    given = feeds or {n: floats(*graph[n].shape) for n in graph.inputs}
    ours, theirs = reference.run(graph, given), run_litert(model, [given])[0]
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert ours[name].shape == value.shape
        np.testing.assert_allclose(ours[name].astype(np.float64), value.astype(np.float64), rtol=tolerance, atol=tolerance)
    return graph


CONV = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 1))])
@pytest.mark.parametrize("size", [(7, 8), (6, 5)])
def test_convolution_padding_is_explicit(padding: int, stride: Any, dilation: Any, size: Any) -> None:
    options = {"padding": padding, "fusedActivationFunction": 1} | CONV
    options |= {"strideH": stride[0], "strideW": stride[1], "dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    x, y = T("x", (1, *size, 3)), T("y")
    model = make(
        [x, y, constant("w", floats(4, 3, 2, 3)), constant("b", floats(4))],
        [O("CONV_2D", ["x", "w", "b"], ["y"], "Conv2DOptions", options)],
        ["x"],
        ["y"],
    )
    graph = agrees(model)
    assert graph.nodes[0].attrs["activation"] == "RELU"
    assert graph.contract.input("x").layout == "NHWC"


def test_grouped_convolution_and_the_depthwise_one_in_disguise() -> None:
    for channels, per_group, outs, kind in ((4, 2, 6, "CONV_2D"), (4, 1, 8, "DEPTHWISE_CONV_2D")):
        weights = constant("w", floats(outs, 3, 3, per_group))
        options = {"padding": 0} | CONV
        op = O("CONV_2D", ["x", "w", "b"], ["y"], "Conv2DOptions", options)
        graph = agrees(make([T("x", (1, 5, 6, channels)), T("y"), weights, constant("b", floats(outs))], [op], ["x"], ["y"]))
        assert graph.nodes[0].op == kind


def test_dense_flattens_its_input_and_keeps_dimensions() -> None:
    for shape, keep in (((2, 3, 4), True), ((2, 2, 2), False)):
        op = O("FULLY_CONNECTED", ["x", "w", None], ["y"], "FullyConnectedOptions", {"keepNumDims": keep})
        agrees(make([T("x", shape), T("y"), constant("w", floats(5, 4))], [op], ["x"], ["y"]))


SLICES: list[dict[str, Any]] = [
    {"begin": [0, 1, 0], "end": [2, 4, 5], "strides": [1, 2, 1]},
    {"begin": [1, -1, 4], "end": [2, -5, 0], "strides": [1, -1, -2]},
    {"begin": [0, 2, 0], "end": [0, 3, 0], "strides": [1, 1, 1], "beginMask": 5, "endMask": 5, "shrinkAxisMask": 2},
    {"begin": [1, 0], "end": [2, 3], "strides": [1, 1], "ellipsisMask": 1, "endMask": 0},
    {"begin": [0, 0, 1], "end": [0, 2, 3], "strides": [1, 1, 1], "newAxisMask": 1},
    {"begin": [-1], "end": [0], "strides": [1], "shrinkAxisMask": 1},
]


@pytest.mark.parametrize("spec", SLICES)
def test_strided_slice_masks(spec: dict[str, Any]) -> None:
    parts = [constant(k, np.array(spec[k], np.int32)) for k in ("begin", "end", "strides")]
    masks = {k: v for k, v in spec.items() if k.endswith("Mask")}
    op = O("STRIDED_SLICE", ["x", "begin", "end", "strides"], ["y"], "StridedSliceOptions", masks)
    agrees(make([T("x", (2, 4, 5)), T("y"), *parts], [op], ["x"], ["y"]))


def test_shape_changing_operators_become_reshapes() -> None:
    for op, extra in (
        (O("SQUEEZE", ["x"], ["y"], "SqueezeOptions", {"squeezeDims": [0]}), []),
        (O("SQUEEZE", ["x"], ["y"], "SqueezeOptions", {"squeezeDims": []}), []),
        (O("EXPAND_DIMS", ["x", "k"], ["y"], "ExpandDimsOptions"), [constant("k", np.array(-1, np.int32))]),
        (O("RESHAPE", ["x", "k"], ["y"], "ReshapeOptions"), [constant("k", np.array([-1, 2], np.int32))]),
    ):
        graph = agrees(make([T("x", (1, 4, 1, 3)), T("y"), *extra], [op], ["x"], ["y"]))
        assert [n.op for n in graph.nodes] == ["RESHAPE"]


@pytest.mark.parametrize("mode", [0, 1])
def test_mirror_pad_becomes_gathers(mode: int) -> None:
    pads = constant("p", np.array([[0, 0], [2, 1], [0, 2]], np.int32))
    graph = agrees(
        make(
            [T("x", (2, 3, 4)), T("y"), pads],
            [O("MIRROR_PAD", ["x", "p"], ["y"], "MirrorPadOptions", {"mode": mode})],
            ["x"],
            ["y"],
        )
    )
    assert {n.op for n in graph.nodes} == {"GATHER"}


def test_pack_unpack_split_and_concat() -> None:
    agrees(
        make(
            [T("x", (2, 3)), T("z", (2, 3)), T("y")],
            [O("PACK", ["x", "z"], ["y"], "PackOptions", {"axis": 1, "valuesCount": 2})],
            ["x", "z"],
            ["y"],
        )
    )
    agrees(
        make(
            [T("x", (2, 3)), *(T(f"y{i}") for i in range(3))],
            [O("UNPACK", ["x"], ["y0", "y1", "y2"], "UnpackOptions", {"axis": -1, "num": 3})],
            ["x"],
            ["y0", "y1", "y2"],
        )
    )
    sizes, axis = constant("s", np.array([1, -1], np.int32)), constant("a", np.array(1, np.int32))
    agrees(
        make(
            [T("x", (2, 5)), T("y0"), T("y1"), sizes, axis],
            [O("SPLIT_V", ["x", "s", "a"], ["y0", "y1"], "SplitVOptions", {"numSplits": 2})],
            ["x"],
            ["y0", "y1"],
        )
    )
    joined = O("CONCATENATION", ["x", "c"], ["y"], "ConcatenationOptions", {"axis": -1})
    agrees(make([T("x", (2, 3)), T("y"), constant("c", floats(2, 2))], [joined], ["x"], ["y"]))


def test_an_activation_that_the_graph_cannot_fuse_follows_as_a_node() -> None:
    op = O("DIV", ["x", "c"], ["y"], "DivOptions", {"fusedActivationFunction": 3})
    graph = agrees(make([T("x", (2, 3)), T("y"), constant("c", floats(2, 3))], [op], ["x"], ["y"]))
    assert [n.op for n in graph.nodes] == ["DIV", "RELU6"]
    op.options["fusedActivationFunction"] = 4
    with pytest.raises(Unsupported, match="fused activation 4"):
        load_tflite(make([T("x", (2, 3)), T("y"), constant("c", floats(2, 3))], [op], ["x"], ["y"]))


def test_shape_arithmetic_of_a_static_model_is_folded() -> None:
    """The chain that Keras' Flatten leaves: SHAPE, STRIDED_SLICE, PACK, RESHAPE."""
    index = [constant(k, np.array([v], np.int32)) for k, v in (("b0", 0), ("e0", 1), ("s0", 1))]
    ops = [
        O("SHAPE", ["x"], ["dims"], "ShapeOptions", {"outType": 2}),
        O("STRIDED_SLICE", ["dims", "b0", "e0", "s0"], ["n"], "StridedSliceOptions", {"shrinkAxisMask": 1}),
        O("PACK", ["n", "rest"], ["target"], "PackOptions", {"valuesCount": 2}),
        O("RESHAPE", ["x", "target"], ["y"], "ReshapeOptions"),
    ]
    tensors = [T("x", (2, 3, 4), signature=(-1, 3, 4)), *index, constant("rest", np.array(12, np.int32))]
    inner = [T("dims", (3,), "int32"), T("n", (), "int32"), T("target", (2,), "int32"), T("y", (2, 12), signature=(-1, 12))]
    graph = agrees(make([*tensors, *inner], ops, ["x"], ["y"]))
    assert [n.op for n in graph.nodes] == ["RESHAPE"]


def test_float16_and_hybrid_weights_are_read_as_float32() -> None:
    half = floats(4, 3).astype(np.float16)
    ops = [
        O("DEQUANTIZE", ["h"], ["w"], "DequantizeOptions"),
        O("FULLY_CONNECTED", ["x", "w", None], ["y"], "FullyConnectedOptions"),
    ]
    graph = agrees(make([T("x", (2, 3)), T("y", (2, 4)), constant("h", half), T("w", (4, 3))], ops, ["x"], ["y"]))
    assert [n.op for n in graph.nodes] == ["FULLY_CONNECTED"]
    weights = constant("w", RNG.integers(-127, 128, (4, 3)).astype(np.int8), scale=[0.02])
    hybrid = make([T("x", (2, 3)), T("y", (2, 4)), weights], ops[1:], ["x"], ["y"])
    graph = load_tflite(hybrid)
    assert graph["w"].dtype == "float32"
    assert weights.data is not None
    np.testing.assert_array_equal(graph["w"].data, weights.data.astype(np.float32) * np.float32(0.02))
    assert any("read as float32" in step for step in graph.history)


def test_constants_are_folded_through_quantize_and_moves() -> None:
    ops = [
        O("QUANTIZE", ["c"], ["q"], "QuantizeOptions"),
        O("TRANSPOSE", ["q", "p"], ["t"], "TransposeOptions"),
        O("ADD", ["x", "t"], ["y"], "AddOptions"),
    ]
    tensors = [T(n, s, "int8", scale=[0.1], zero=[3]) for n, s in (("x", (3, 2)), ("q", (2, 3)), ("t", (3, 2)), ("y", (3, 2)))]
    perm = constant("p", np.array([1, 0], np.int32))
    model = make([*tensors, constant("c", floats(2, 3)), perm], ops, ["x"], ["y"])
    graph = agrees(model, {"x": RNG.integers(-128, 128, (3, 2)).astype(np.int8)})
    assert [n.op for n in graph.nodes] == ["ADD"]


def test_an_unsigned_edge_is_read_as_a_signed_one() -> None:
    """uint8 input -> QUANTIZE -> int8, as TensorFlow's converter writes inference_input_type=uint8: C has int8 alone."""
    ops = [O("QUANTIZE", ["x"], ["h"], "QuantizeOptions"), O("QUANTIZE", ["h"], ["y"], "QuantizeOptions")]
    tensors = [
        T("x", (1, 256), "uint8", scale=[0.1], zero=[128]),
        T("h", (1, 256), "int8", scale=[0.1], zero=[0]),
        T("y", (1, 256), "uint8", scale=[0.07], zero=[99]),
    ]
    data = make(tensors, ops, ["x"], ["y"])
    graph = load_tflite(data)
    assert {graph[n].dtype for node in graph.nodes for n in node.outputs} == {"int8"}
    assert graph.contract.input("x").scale == pytest.approx(0.1)
    assert graph.contract.input("x").zero_point == 128
    feeds = {"x": np.arange(-128, 128).astype(np.int8).reshape(1, 256)}
    (theirs,) = run_litert(data, [feeds])
    assert theirs["y"].dtype == np.uint8
    np.testing.assert_array_equal(reference.run(graph, feeds)["y"].astype(int) + 128, theirs["y"])


def test_scales_that_do_not_fit_a_constant() -> None:
    for axis in (1, 5, -3):
        bad = constant("h", np.ones((4, 3), np.int8), scale=[0.1, 0.2, 0.3, 0.4], zero=[0] * 4, axis=axis)
        ops = [O("DEQUANTIZE", ["h"], ["w"], "DequantizeOptions"), O("ADD", ["x", "w"], ["y"], "AddOptions")]
        with pytest.raises(BadModel, match="scales"):
            load_tflite(make([T("x", (4, 3)), T("w", (4, 3)), T("y", (4, 3)), bad], ops, ["x"], ["y"]))


def quantized_conv(axis: int, scales: int = 4, dtype: str = "int8") -> bytes:
    """3x3 to four channels; `axis` is what the file says of the weights' scales."""
    weights = constant(
        "w",
        RNG.integers(-127, 128, (4, 3, 3, 2)).astype(np.int8),
        scale=[0.01, 0.02, 0.03, 0.04, 0.05][:scales],
        zero=[0] * scales,
        axis=axis,
    )
    bias = constant("b", np.array([10, -20, 30, -40], np.int32), scale=[0.001, 0.002, 0.003, 0.004], zero=[0] * 4)
    tensors = [
        T("x", (1, 5, 5, 2), dtype, scale=[0.1], zero=[3]),
        T("y", (1, 5, 5, 4), dtype, scale=[0.4], zero=[-5]),
        weights,
        bias,
    ]
    return make(tensors, [O("CONV_2D", ["x", "w", "b"], ["y"], "Conv2DOptions", {"padding": 0} | CONV)], ["x"], ["y"])


def test_a_wrong_quantized_dimension_is_corrected_when_the_meaning_is_clear() -> None:
    right, wrong = load_tflite(quantized_conv(0)), load_tflite(quantized_conv(3))
    quant = wrong["w"].quant
    assert quant is not None
    assert quant.axis == 0
    assert any("corrected" in step for step in wrong.history)
    feeds = {"x": RNG.integers(-128, 128, (1, 5, 5, 2)).astype(np.int8)}
    right_bytes = quantized_conv(0)
    expected = run_litert(right_bytes, [feeds])[0]["y"]
    np.testing.assert_array_equal(reference.run(load_tflite(right_bytes), feeds)["y"], expected)
    assert right["w"].quant is not None
    with pytest.raises(BadModel, match="scales"):
        load_tflite(quantized_conv(0, scales=3))


def test_names_come_from_the_signature_and_are_unique() -> None:
    op = O("RELU", ["x:0"], ["y"])
    graph = load_tflite(make([T("x:0", (1, 2)), T("y", (1, 2))], [op], ["x:0"], ["y"], {"x:0": "audio", "y": "score"}))
    assert (graph.inputs, graph.outputs) == (("audio",), ("score",))
    twins = make(
        [T("a", (1, 2)), T("b", (1, 2)), T("y", (1, 2))],
        [O("ADD", ["a", "b"], ["y"], "AddOptions")],
        ["a", "b"],
        ["y"],
        {"a": "s", "b": "s"},
    )
    assert len(set(load_tflite(twins).inputs)) == 2


def test_dynamic_axes() -> None:
    relu = [O("RELU", ["x"], ["y"])]
    batch = make([T("x", (1, 3), signature=(-1, 3)), T("y", (1, 3), signature=(-1, 3))], relu, ["x"], ["y"])
    assert load_tflite(batch)["y"].shape == (1, 3)
    assert load_tflite(batch, shapes={"x": (4, 3)})["y"].shape == (4, 3)
    wide = make([T("x", (1, 1, 3), signature=(-1, -1, 3)), T("y", (1, 1, 3), signature=(-1, -1, 3))], relu, ["x"], ["y"])
    with pytest.raises(BadModel) as refusal:
        load_tflite(wide)
    assert "--shape x=1,?,3" in refusal.value.hint
    assert load_tflite(wide, shapes={"x": (1, 7, 3)})["y"].shape == (1, 7, 3)
    with pytest.raises(BadModel, match="no input is named"):
        load_tflite(wide, shapes={"z": (1,)})
    with pytest.raises(BadModel, match="cannot be"):
        load_tflite(wide, shapes={"x": (1, 7, 4)})


def test_everything_that_cannot_be_read_is_listed_at_once() -> None:
    ops = [O("MATRIX_DIAG", ["x"], ["a"]), O("RELU", ["a"], ["b"]), O("UNIQUE", ["b"], ["y"])]
    with pytest.raises(Unsupported) as refusal:
        load_tflite(make([T("x", (1, 2)), T("a", (1, 2)), T("b", (1, 2)), T("y", (1, 2))], ops, ["x"], ["y"]))
    assert [where for where, _, _ in refusal.value.problems] == ["op#0 MATRIX_DIAG 'a'", "op#2 UNIQUE 'y'"]
    variable = [T("x", (1, 2)), T("v", (1, 2), variable=True), T("y", (1, 2))]
    with pytest.raises(Unsupported, match="state"):
        load_tflite(make(variable, [O("ADD", ["x", "v"], ["y"], "AddOptions")], ["x"], ["y"]))
    with pytest.raises(Unsupported, match="must be a constant"):
        load_tflite(
            make([T("x", (2, 3)), T("p", (2,), "int32"), T("y")], [O("TRANSPOSE", ["x", "p"], ["y"])], ["x", "p"], ["y"])
        )


def test_a_file_that_contradicts_itself() -> None:
    for tensors, op in (
        ([T("x", (1, 2)), T("y", (1, 3))], O("RELU", ["x"], ["y"])),
        ([T("x", (1, 2)), T("y", (1, 2)), T("z", (1, 2))], O("ADD", ["x", "z"], ["y"], "AddOptions")),
        ([T("x", (1, 2)), T("y", (1, 2)), constant("s", np.array([1, 2], np.int32))], O("SOFTMAX", [], ["y"])),
        ([T("x", (1, 5, 5, 2)), T("y"), constant("w", floats(4, 3, 3, 2))], O("CONV_2D", ["x", "w", None], ["y"])),
        ([T("x", (1, 2)), T("y", (2, 2)), T("c", (2, 2), data=floats(3))], O("ADD", ["x", "c"], ["y"], "AddOptions")),
    ):
        with pytest.raises(BadModel) as refusal:
            load_tflite(make(tensors, [op], ["x"], ["y"]))
        assert refusal.value.hint


def test_not_a_tflite_file(tmp_path: Path) -> None:
    (tmp_path / "empty.tflite").write_bytes(b"")
    for source in (
        b"",
        b"TFL3",
        b"\0" * 64,
        bytes(range(256)),
        tmp_path / "empty.tflite",
        tmp_path / "absent.tflite",
        tmp_path,
    ):
        with pytest.raises(BadModel) as refusal:
            load_tflite(source)
        assert refusal.value.hint


def test_damaged_files_are_refused_or_read_but_never_crash() -> None:
    """Every truncation, and random bytes anywhere: BadModel or Unsupported, or a graph that still holds together."""
    whole, chance = quantized_conv(0), random.Random(3)
    refused = 0
    for cut in range(0, len(whole), 7):
        with pytest.raises((BadModel, Unsupported)):
            load_tflite(whole[:cut])
    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(8, len(whole))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        try:
            load_tflite(bytes(damaged))
        except (BadModel, Unsupported):
            refused += 1
    assert refused > 200


def test_reading_does_not_load_the_interpreter() -> None:
    code = "import sys; import edgekit.load.tflite_schema as s; s.schema(); sys.exit('ai_edge_litert' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
