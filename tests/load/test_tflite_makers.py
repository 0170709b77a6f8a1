"""Constructs of other makers' TFLite files: variables, sparse weights, dilation by batches, spectra, MediaPipe's operators.
LiteRT runs the same files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgekit import reference, states
from edgekit.bench.litert import run_litert
from edgekit.boundary import from_outputs, random_samples, to_feeds
from edgekit.errors import Unsupported
from edgekit.graph import Array, Graph
from edgekit.load import inferred
from edgekit.load.tflite import load_tflite
from edgekit.load.tflite_schema import schema
from edgekit.metrics import sqnr_db
from tests.load.tflite_maker import O, T, constant, make

RNG = np.random.default_rng(11)
CONVOLUTION: dict[str, Any] = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
VALID = 1


def normal(*shape: int) -> Array:
    return (RNG.normal(size=shape) / 2).astype(np.float32)


def agrees(data: bytes, least: float = 100.0, count: int = 2, **options: Any) -> Graph:
    """The graph, whose reference answers as LiteRT does."""
    graph = inferred(load_tflite(data, **options))
    for sample in random_samples(graph, count, 3):
        feeds = to_feeds(graph, sample)
        ours = from_outputs(graph, reference.run(graph, feeds))
        (raw,) = run_litert(data, [feeds])
        theirs = from_outputs(graph, dict(zip(graph.outputs, raw.values(), strict=True)))
        assert all(sqnr_db(theirs[n], ours[n]) >= least for n in ours)
    return graph


def stepped(data: bytes, steps: int = 5) -> Graph:
    """The graph of a streaming file, whose reference answers each step as LiteRT does, which holds the states itself."""
    graph = inferred(load_tflite(data))
    (name,) = graph.inputs
    sequence = RNG.normal(size=(steps, *graph[name].shape)).astype(np.float32)
    frames = [to_feeds(graph, frame) for frame in states.frames(graph, {name: sequence})]
    ours = states.run(graph, {name: sequence})
    theirs = run_litert(data, frames)
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine.values(), other.values(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    return graph


# Variables ------------------------------------------------------------------------------------------------------------


def streaming(first: float, quant: dict[str, Any] | None = None) -> bytes:
    """The last three inputs and this one, and their sums of products: as streaming layers keep what they have seen."""
    kind = "float32" if quant is None else "int8"
    q = quant or {}
    held = np.full((1, 3, 2), first, np.float32 if quant is None else np.int8)
    tensors = [
        T("x", (1, 1, 2), kind, **q),
        T("handle", (), "resource"),
        T("seen", (1, 3, 2), kind, **q),
        T("all", (1, 4, 2), kind, **q),
        T("kept", (1, 3, 2), kind, **q),
        T("y", (1, 2), kind, **q),
        constant("begin", np.array([0, 1, 0], np.int32)),
        constant("size", np.array([1, 3, 2], np.int32)),
        constant("axis", np.array([1], np.int32)),
    ]
    name = {"container": "", "sharedName": "buffer"}
    ops = [
        O("CALL_ONCE", [], [], "CallOnceOptions", {"initSubgraphIndex": 1}),
        O("VAR_HANDLE", [], ["handle"], "VarHandleOptions", name),
        O("READ_VARIABLE", ["handle"], ["seen"], "ReadVariableOptions"),
        O("CONCATENATION", ["seen", "x"], ["all"], "ConcatenationOptions", {"axis": 1}),
        O("SLICE", ["all", "begin", "size"], ["kept"]),
        O("ASSIGN_VARIABLE", ["handle", "kept"], [], "AssignVariableOptions"),
        O("REDUCE_MAX", ["all", "axis"], ["y"], "ReducerOptions"),
    ]
    init: tuple[list[T], list[O], list[str], list[str]] = (
        [T("h", (), "resource"), constant("zero", held, **q)],
        [
            O("VAR_HANDLE", [], ["h"], "VarHandleOptions", name),
            O("ASSIGN_VARIABLE", ["h", "zero"], [], "AssignVariableOptions"),
        ],
        [],
        [],
    )
    return make(tensors, ops, ["x"], ["y"], others=[init])


@pytest.mark.parametrize("first", [0.0, 0.7])
def test_a_variable_is_a_state(first: float) -> None:
    graph = stepped(streaming(first))
    (state,) = graph.states
    assert np.all(state.init == np.float32(first))
    assert graph.inputs == ("x",)


def test_a_variable_of_integers_is_a_state() -> None:
    data = streaming(-20, {"scale": [0.05], "zero": [-20]})
    graph = inferred(load_tflite(data))
    sequence = RNG.integers(-128, 128, (5, 1, 1, 2)).astype(np.int8)
    ours = states.run(graph, {"x": sequence})
    theirs = run_litert(data, [{"x": frame} for frame in sequence])
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine["y"], other["y"])


def test_a_cut_keeps_the_states() -> None:
    graph = inferred(load_tflite(streaming(0.0), outputs=["all"]))
    assert len(graph.states) == 1
    assert graph.outputs == ("all",)


@pytest.mark.parametrize("rank", [1, 2])
def test_svdf_remembers(rank: int) -> None:
    """The first step against LiteRT, whose runner resets such memories at each sample; the others against the definition."""
    filters, steps = 4, 3
    features, time, bias = normal(filters, 5), normal(filters, steps), normal(filters // rank)
    tensors = [
        T("x", (1, 5)),
        constant("features", features),
        constant("time", time),
        constant("bias", bias),
        T("memory", (1, filters * steps), variable=True),
        T("y", (1, filters // rank)),
    ]
    options = {"rank": rank, "fusedActivationFunction": 1}
    ops = [O("SVDF", ["x", "features", "time", "bias", "memory"], ["y"], "SVDFOptions", options)]
    data = make(tensors, ops, ["x"], ["y"])
    graph = stepped(data, 1)
    assert len(graph.states) == 1
    sequence, memory = normal(6, 1, 5), np.zeros((filters, steps), np.float32)
    for x, mine in zip(sequence, states.run(graph, {"x": sequence}), strict=True):
        memory = np.concatenate([memory[:, 1:], (features @ x[0])[:, None]], axis=1)
        truth = (memory * time).sum(axis=1).reshape(-1, rank).sum(axis=1) + bias
        np.testing.assert_allclose(mine["y"][0], np.maximum(truth, 0), atol=1e-5)


# Weights --------------------------------------------------------------------------------------------------------------


def vector(values: Sequence[int]) -> Any:
    made = schema().Int32VectorT()
    made.values = list(values)
    return made


def level(size: int = 0, segments: Sequence[int] = (), indices: Sequence[int] = ()) -> Any:
    """Dense of a size, or of listed indices."""
    s = schema()
    made = s.DimensionMetadataT()
    made.format, made.denseSize = (s.DimensionType.DENSE, size) if size else (s.DimensionType.SPARSE_CSR, 0)
    if not size:
        made.arraySegmentsType = made.arrayIndicesType = s.SparseIndexVector.Int32Vector
        made.arraySegments, made.arrayIndices = vector(segments), vector(indices)
    return made


def sparsity(order: Sequence[int], levels: Sequence[Any], blocks: Sequence[int] = ()) -> Any:
    made = schema().SparsityParametersT()
    made.traversalOrder, made.blockMap, made.dimMetadata = list(order), list(blocks), list(levels)
    return made


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("blocked", [False, True])
def test_sparse_weights_are_read_as_dense_ones(blocked: bool, kind: str) -> None:
    w = np.zeros((4, 6), np.float32)
    if blocked:  # blocks of one row by two columns
        w[0, 2:4], w[2, 0:2], w[2, 4:6] = [1, 2], [3, 4], [5, 6]
        values = np.array([1, 2, 3, 4, 5, 6])
        table = sparsity([0, 1, 2], [level(4), level(0, [0, 1, 1, 3, 3], [1, 0, 2]), level(2)], [1])
    else:
        w[0, 3], w[2, 0], w[2, 5] = 1, 2, 3
        values = np.array([1, 2, 3])
        table = sparsity([0, 1], [level(4), level(0, [0, 1, 1, 3, 3], [3, 0, 5])])
    stored = T("sparse", (4, 6), kind, values.astype(kind), sparsity=table)
    tensors = [T("x", (1, 6)), stored, T("dense", (4, 6), kind), T("w", (4, 6)), T("y", (1, 4))]
    ops = [O("DENSIFY", ["sparse"], ["dense"], "DensifyOptions")]
    ops.append(O("DEQUANTIZE", ["dense"], ["w"], "DequantizeOptions") if kind == "float16" else O("RESHAPE", ["dense"], ["w"]))
    if kind == "float32":
        ops.pop()
    ops.append(O("FULLY_CONNECTED", ["x", "w" if kind == "float16" else "dense", None], ["y"], "FullyConnectedOptions"))
    graph = inferred(load_tflite(make(tensors, ops, ["x"], ["y"])))
    x = normal(1, 6)
    np.testing.assert_allclose(reference.run(graph, {"x": x})["y"], x @ w.T, rtol=1e-5, atol=1e-6)


# Batches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("crop", [0, 1])
def test_batches_around_a_convolution_are_its_dilation(code: str, crop: int) -> None:
    deep = code == "DEPTHWISE_CONV_2D"
    w = normal(1, 3, 3, 4) if deep else normal(5, 3, 3, 4)
    channels = w.shape[3] if deep else w.shape[0]
    options = CONVOLUTION | {"padding": VALID, "fusedActivationFunction": 1} | ({"depthMultiplier": 1} if deep else {})
    tensors = [
        T("x", (1, 7, 8, 4)),
        constant("block", np.array([2, 2], np.int32)),
        constant("pads", np.array([[2, 3], [2, 2]], np.int32)),
        constant("crops", np.array([[0, 1], [0, crop]], np.int32)),
        constant("w", w),
        constant("b", normal(channels)),
        T("s", (4, 6, 6, 4)),
        T("c", (4, 4, 4, channels)),
        T("y", (1, 7, 8 - crop, channels)),
    ]
    ops = [
        O("SPACE_TO_BATCH_ND", ["x", "block", "pads"], ["s"]),
        O(code, ["s", "w", "b"], ["c"], "DepthwiseConv2DOptions" if deep else "Conv2DOptions", options),
        O("BATCH_TO_SPACE_ND", ["c", "block", "crops"], ["y"]),
    ]
    graph = agrees(make(tensors, ops, ["x"], ["y"]))
    assert [n.op for n in graph.nodes] == [code]
    assert graph.nodes[0].attrs["dilation"] == (2, 2)


@pytest.mark.parametrize("flat", [False, True])
def test_batches_alone_are_rearrangements(flat: bool) -> None:
    shape = (1, 5, 3) if flat else (1, 5, 4, 3)
    block = [2] if flat else [2, 2]
    pads, crops = ([[1, 2]], [[1, 0]]) if flat else ([[1, 2], [0, 0]], [[1, 0], [0, 1]])
    wide = (2, 4, 3) if flat else (4, 4, 2, 3)
    back = (1, 7, 3) if flat else (1, 7, 3, 3)
    tensors = [
        T("x", shape),
        constant("block", np.array(block, np.int32)),
        constant("pads", np.array(pads, np.int32)),
        constant("crops", np.array(crops, np.int32)),
        T("s", wide),
        T("r", wide),
        T("y", back),
    ]
    ops = [
        O("SPACE_TO_BATCH_ND", ["x", "block", "pads"], ["s"]),
        O("TANH", ["s"], ["r"]),
        O("BATCH_TO_SPACE_ND", ["r", "block", "crops"], ["y"]),
    ]
    agrees(make(tensors, ops, ["x"], ["y"]))


# Spectra, shapes and custom operators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [16, 32])
def test_a_spectrum_is_a_product(points: int) -> None:
    """Frames of 20 numbers are cut or padded to the transform's length."""
    bins = points // 2 + 1
    tensors = [
        T("x", (1, 3, 1, 20)),
        constant("n", np.array([1, points], np.int32)),
        T("f", (1, 3, 1, bins), "complex64"),
        constant("flat", np.array([1, 3, bins], np.int32)),
        T("g", (1, 3, bins), "complex64"),
        T("a", (1, 3, bins)),
        T("re", (1, 3, 1, bins)),
        T("im", (1, 3, 1, bins)),
    ]
    ops = [
        O("RFFT2D", ["x", "n"], ["f"], "Rfft2dOptions"),
        O("RESHAPE", ["f", "flat"], ["g"]),
        O("COMPLEX_ABS", ["g"], ["a"]),
        O("REAL", ["f"], ["re"]),
        O("IMAG", ["f"], ["im"]),
    ]
    graph = inferred(load_tflite(make(tensors, ops, ["x"], ["a", "re", "im"])))
    x = normal(1, 3, 1, 20)
    truth = np.fft.rfft(x, points)
    found = reference.run(graph, {"x": x})
    np.testing.assert_allclose(found["a"], np.abs(truth)[:, :, 0], atol=1e-5)
    np.testing.assert_allclose(found["re"], truth.real, atol=1e-5)
    np.testing.assert_allclose(found["im"], truth.imag, atol=1e-5)


def test_shapes_that_are_computed_of_shapes() -> None:
    tensors = [
        T("x", (1, 4)),
        constant("other", np.array([3, 1], np.int32)),
        T("s", (2,), "int32"),
        T("both", (2,), "int32"),
        T("wide", (3, 4)),
        T("y", (3, 4)),
    ]
    ops = [
        O("SHAPE", ["x"], ["s"], "ShapeOptions", {"outType": 2}),
        O("BROADCAST_ARGS", ["s", "other"], ["both"]),
        O("BROADCAST_TO", ["x", "both"], ["wide"], "BroadcastToOptions", version=2),
        O("RELU_0_TO_1", ["wide"], ["y"]),
    ]
    agrees(make(tensors, ops, ["x"], ["y"]))


@pytest.mark.parametrize(("padding", "stride"), [(1, 2), (2, 2), (1, 1)])
def test_mediapipes_transposed_convolution_with_bias(padding: int, stride: int) -> None:
    """Against TRANSPOSE_CONV and an addition, which LiteRT runs."""
    h, w, kernel = 4, 5, 3
    lost = max(kernel - (h - 1) % stride - 1, 0) if padding == 1 else 0
    wide = max(kernel - (w - 1) % stride - 1, 0) if padding == 1 else 0
    size = (1, stride * (h - 1) + kernel - lost, stride * (w - 1) + kernel - wide, 2)
    weights, bias = normal(2, kernel, kernel, 3), normal(2)
    options = np.array([padding, stride, stride, 0], "<i4").tobytes()
    tensors = [T("x", (1, h, w, 3)), constant("w", weights), constant("b", bias), T("y", size)]
    data = make(tensors, [O("CUSTOM Convolution2DTransposeBias", ["x", "w", "b"], ["y"], custom=options)], ["x"], ["y"])
    graph = inferred(load_tflite(data))
    x = normal(1, h, w, 3)
    full = np.zeros((stride * (h - 1) + kernel, stride * (w - 1) + kernel, 2), np.float32)
    for i in range(h):
        for j in range(w):
            part = np.einsum("c,oklc->klo", x[0, i, j], weights)
            full[i * stride : i * stride + kernel, j * stride : j * stride + kernel] += part
    truth = full[lost // 2 :, wide // 2 :][: size[1], : size[2]] + bias
    np.testing.assert_allclose(reference.run(graph, {"x": x})["y"][0], truth, atol=1e-5)


def test_custom_operators_are_listed_with_the_way_to_the_rest() -> None:
    tensors = [T("x", (1, 4)), T("h", (1, 4)), T("a", (1, 4)), T("b", (1, 4)), T("y", (1, 4))]
    ops = [
        O("TANH", ["x"], ["h"]),
        O("CUSTOM TransformLandmarks", ["h"], ["a"]),
        O("SEGMENT_SUM", ["h", "h"], ["b"]),
        O("ADD", ["a", "b"], ["y"], "AddOptions"),
    ]
    data = make(tensors, ops, ["x"], ["y"])
    with pytest.raises(Unsupported) as caught:
        load_tflite(data)
    assert "TransformLandmarks" in caught.value.message
    assert "SEGMENT_SUM" in caught.value.message
    assert caught.value.hint.endswith("--outputs h")
    assert load_tflite(data, outputs=["h"]).outputs == ("h",)


def test_the_signature_of_another_subgraph_names_nothing_here() -> None:
    other = ([T("p", (1, 2)), T("q", (1, 2))], [O("RELU", ["p"], ["q"])], ["p"], ["q"])
    data = make([T("x", (1, 4)), T("y", (1, 4))], [O("TANH", ["x"], ["y"])], ["x"], ["y"], {"x": "wrong"}, [other], place=1)
    graph = load_tflite(data)
    assert graph.inputs == ("x",)
    assert any("serving_default" in line for line in graph.history)


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_a_picture_of_integers_is_real_numbers(kind: str) -> None:
    tensors = [T("x", (1, 4, 4, 3), kind), T("f", (1, 4, 4, 3)), constant("k", np.float32(1 / 255)), T("y", (1, 4, 4, 3))]
    ops = [O("CAST", ["x"], ["f"], "CastOptions"), O("MUL", ["f", "k"], ["y"], "MulOptions")]
    data = make(tensors, ops, ["x"], ["y"])
    graph = inferred(load_tflite(data))
    spec = graph.contract.input("x")
    assert (graph["x"].dtype, spec.scale, spec.zero_point) == ("float32", 1.0, 0)
    assert spec.range == ((0.0, 255.0) if kind == "uint8" else None)
    x = RNG.integers(0, 256, (1, 4, 4, 3)).astype(np.float32)
    (theirs,) = run_litert(data, [{"x": x}])
    np.testing.assert_allclose(reference.run(graph, {"x": x})["y"], theirs["y"], rtol=1e-6)


def test_weights_that_are_computed() -> None:
    tensors = [T("x", (2, 4)), T("w", (2, 4)), constant("b", normal(2)), T("y", (2, 2))]
    ops = [O("TANH", ["x"], ["w"]), O("FULLY_CONNECTED", ["x", "w", "b"], ["y"], "FullyConnectedOptions")]
    agrees(make(tensors, ops, ["x"], ["y"]))


def test_a_fused_activation_that_tflite_passes_over_is_refused() -> None:
    tensors = [T("x", (1, 4)), constant("c", normal(4)), T("y", (1, 4))]
    ops = [O("ADD", ["x", "c"], ["y"], "AddOptions", {"fusedActivationFunction": 4})]
    with pytest.raises(Unsupported, match="fused activation 4"):
        load_tflite(make(tensors, ops, ["x"], ["y"]))


@pytest.mark.parametrize("batch", [1, -1])
def test_rows_gathered_in_a_batch_of_one(batch: int) -> None:
    """As tf.gather with batch_dims writes it."""
    shape = (1, 2) if batch == 1 else (1,)
    x, rows = T("x", (1, 4, 3)), constant("rows", np.array([3, 1][: shape[-1]], np.int32).reshape(shape))
    y = T("y", (1, shape[-1], 3))
    options = {"axis": 1, "batchDims": batch}
    agrees(make([x, rows, y], [O("GATHER", ["x", "rows"], ["y"], "GatherOptions", options)], ["x"], ["y"]))
