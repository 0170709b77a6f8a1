"""Resizes, transposed convolutions and their kin as ONNX has them: ONNX Runtime is the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgekit import reference
from edgekit.errors import Unsupported
from edgekit.export.onnx import export_onnx
from edgekit.graph import Array, Graph
from edgekit.load.onnx import load_onnx
from edgekit.passes.legalize import legalize
from edgekit.passes.simplify import simplify


def model(op: str, x: Array, consts: Sequence[Array | None], opset: int = 18, **attrs: Any) -> bytes:
    """One node: x is fed, the rest are initializers (None: absent)."""
    names = ["x", *(f"c{i}" if c is not None else "" for i, c in enumerate(consts))]
    stored = [numpy_helper.from_array(c, f"c{i}") for i, c in enumerate(consts) if c is not None]
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)
    out = onnx.ValueInfoProto(name="y")
    graph = helper.make_graph([helper.make_node(op, names, ["y"], name="the node", **attrs)], "net", [value], [out], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(made.SerializeToString())


def run_ort(data: bytes, x: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def agrees(data: bytes, x: Array, rtol: float = 1e-4) -> Graph:
    """The graph, which gives ONNX Runtime's answer as read, simplified and legalized, and again when written."""
    graph = load_onnx(data)
    expected = run_ort(data, x)
    for form in (graph, simplify(graph), legalize(simplify(graph), "tflm")):
        found = reference.run(form, {"x": x})["y"]
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-4)
    np.testing.assert_allclose(run_ort(export_onnx(graph), x), expected, rtol=rtol, atol=1e-4)
    return graph


def image(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


TRANSFORMS = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric")
SIZES = ((6, 10), (12, 20), (3, 5), (9, 7), (1, 4), (6, 20))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_linear_resize(transform: str) -> None:
    for size in SIZES:
        x = image(2, 3, 6, 10)
        sizes = np.array([2, 3, *size], np.int64)
        agrees(model("Resize", x, [None, None, sizes], mode="linear", coordinate_transformation_mode=transform), x)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest_resize(rounding: str) -> None:
    for transform, size in product(TRANSFORMS[:4], SIZES):
        x = image(1, 2, 6, 10)
        attrs: dict[str, Any] = {"mode": "nearest", "nearest_mode": rounding, "coordinate_transformation_mode": transform}
        agrees(model("Resize", x, [None, None, np.array([1, 2, *size], np.int64)], **attrs), x)


@pytest.mark.parametrize(
    "attrs",
    [
        {"mode": "cubic"},
        {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
        {"mode": "linear", "antialias": 1},
        {"mode": "linear", "antialias": 1, "exclude_outside": 1},
        {"mode": "cubic", "antialias": 1},
    ],
)
def test_what_has_no_operator_is_a_matrix_an_axis(attrs: Mapping[str, Any]) -> None:
    for size in ((9, 4), (3, 4)):
        x = image(1, 2, 6, 10)
        graph = agrees(model("Resize", x, [None, None, np.array([1, 2, *size], np.int64)], **attrs), x, rtol=1e-3)
        assert "RESIZE_BILINEAR" not in {n.op for n in graph.nodes}


def test_scales_that_do_not_divide() -> None:
    """The scale that is asked for counts, not the one that came out: 5 rows by 1.7 are 8."""
    x = image(1, 2, 5, 7)
    for mode, transform in product(("linear", "nearest"), ("asymmetric", "half_pixel")):
        scales = np.array([1, 1, 1.7, 2.3], np.float32)
        agrees(model("Resize", x, [None, scales], mode=mode, coordinate_transformation_mode=transform), x)


def test_usual_resizes_are_one_operator() -> None:
    x = image(1, 2, 6, 10)
    sizes = np.array([1, 2, 12, 20], np.int64)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, "RESIZE_BILINEAR"),
        ({"mode": "linear", "coordinate_transformation_mode": "align_corners"}, "RESIZE_BILINEAR"),
        (
            {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"},
            "RESIZE_NEAREST_NEIGHBOR",
        ),
    )
    for attrs, op in cases:
        graph = simplify(load_onnx(model("Resize", x, [None, None, sizes], **attrs)))
        assert [n.op for n in graph.nodes if n.op not in {"TRANSPOSE", "RESHAPE"}] == [op]


def test_one_dimensional_and_cropped_resize() -> None:
    x = image(2, 3, 11)
    agrees(model("Resize", x, [None, None, np.array([2, 3, 22], np.int64)], mode="linear"), x)
    x = image(1, 2, 6, 10)
    roi = np.array([0, 0, 0.1, 0.2, 1, 1, 0.8, 0.9], np.float32)
    attrs: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    agrees(model("Resize", x, [roi, None, np.array([1, 2, 5, 5], np.int64)], **attrs), x)


def test_upsample_of_old_files() -> None:
    x = image(1, 2, 4, 5)
    agrees(model("Upsample", x, [np.array([1, 1, 2, 3], np.float32)], opset=9, mode="nearest"), x)


@pytest.mark.parametrize("seed", range(12))
def test_transposed_convolution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, rank = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    kernel, stride, dilation = ([int(n) for n in rng.integers(1, top, rank)] for top in (5, 4, 3))
    extra = [int(rng.integers(0, s)) for s in stride]
    c, o = groups * int(rng.integers(1, 4)), int(rng.integers(1, 4))
    x, w, b = image(1, c, *(5, 6)[:rank], seed=seed), image(c, o, *kernel), image(o * groups)
    attrs: dict[str, Any] = {"strides": stride, "dilations": dilation, "group": groups, "output_padding": extra}
    if seed % 3:
        half = [((k - 1) * d + 1) // 3 for k, d in zip(kernel, dilation, strict=True)]
        attrs["pads"] = half + half
    elif seed % 2:
        attrs |= {"auto_pad": "SAME_UPPER", "dilations": [1] * rank, "output_padding": [0] * rank}
    agrees(model("ConvTranspose", x, [w, b], **attrs), x)


def test_groups_beyond_a_few_become_zeros_for_tflite() -> None:
    x, w = image(1, 12, 4, 4), image(12, 1, 4, 4)
    graph = agrees(model("ConvTranspose", x, [w], group=12, strides=[2, 2], pads=[1, 1, 1, 1]), x)
    legal = legalize(simplify(graph), "tflm")
    assert [n.op for n in legal.nodes].count("TRANSPOSE_CONV") == 1


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_blocks(mode: str) -> None:
    x = image(2, 18, 2, 3)
    agrees(model("DepthToSpace", x, [], blocksize=3, mode=mode), x)
    x = image(2, 2, 4, 6)
    agrees(model("SpaceToDepth", x, [], blocksize=2), x)


def test_pools_and_crops() -> None:
    x = image(1, 3, 7, 8)
    for p in (1, 2):
        if p == 2:
            agrees(model("GlobalLpPool", x, [], p=p), x)
        agrees(model("LpPool", x, [], p=p, kernel_shape=[2, 3], strides=[1, 2], pads=[1, 0, 1, 1]), x)
    agrees(model("CenterCropPad", x, [np.array([10, 5], np.int64)], axes=[2, 3]), x)
    x = image(1, 18, 20)
    agrees(model("Col2Im", x, [np.array([6, 7], np.int64), np.array([3, 3], np.int64)]), x)


def test_what_cannot_be_read_says_so() -> None:
    x = image(1, 2, 4, 4, 4)
    with pytest.raises(Unsupported, match="3-D"):
        load_onnx(model("LpPool", x, [], kernel_shape=[2, 2, 2]))
    with pytest.raises(Unsupported, match="p is 9"):
        load_onnx(model("LpPool", image(1, 2, 4, 4), [], p=9, kernel_shape=[2, 2]))
