"""infer refuses what does not fit, naming the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import ops
from edgekit.errors import BadModel
from edgekit.graph import Node, Tensor, const

Shapes = tuple[tuple[int, ...], ...]
BAD: list[tuple[str, Shapes, dict[str, Any], str]] = [
    ("CONV_2D", ((1, 8, 8, 3), (4, 3, 3, 2)), {}, "groups"),
    ("CONV_2D", ((1, 8, 8, 4), (3, 3, 3, 2)), {}, "groups"),
    ("CONV_2D", ((8, 8, 3), (4, 3, 3, 3)), {}, "rank 4"),
    ("CONV_2D", ((1, 2, 8, 3), (4, 3, 3, 3)), {}, "does not fit"),
    ("CONV_2D", ((1, 8, 8, 3), (4, 3, 3, 3), (5,)), {}, "bias"),
    ("CONV_2D", ((1, 8, 8, 3), (4, 3, 3, 3)), {"stride": (0, 1)}, "stride"),
    ("CONV_2D", ((1, 8, 8, 3), (4, 3, 3, 3)), {"pad": (0, 0)}, "pad"),
    ("CONV_2D", ((1, 8, 8, 3), (4, 3, 3, 3)), {"pad": (0, -1, 0, 0)}, "pad"),
    ("CONV_2D", ((1, 8, 8, 3), (4, 3, 3, 3)), {"activation": "GELU"}, "activation"),
    ("CONV_2D", ((1, 8, 8, 3), (4, 3, 3, 3)), {"strides": (1, 1)}, "unknown attributes"),
    ("CONV_2D", ((1, 8, 8, 3),), {}, "inputs"),
    ("DEPTHWISE_CONV_2D", ((1, 8, 8, 3), (1, 3, 3, 4)), {}, "multiple"),
    ("DEPTHWISE_CONV_2D", ((1, 8, 8, 3), (3, 3, 3, 3)), {}, "weights"),
    ("FULLY_CONNECTED", ((2, 5), (4, 6)), {}, "does not fit"),
    ("FULLY_CONNECTED", ((2, 3, 4), (5, 12)), {"keep_dims": True}, "does not fit"),
    ("ADD", ((2, 3), (4,)), {}, "broadcast"),
    ("ADD", ((2, 3), (3,), (3,)), {}, "2 inputs"),
    ("PRELU", ((3,), (2, 3)), {}, "slope"),
    ("SOFTMAX", ((),), {}, "rank"),
    ("BATCH_NORM", ((2, 3), (3,), (3,), (2,), (3,)), {}, "one value"),
    ("AVERAGE_POOL_2D", ((1, 8, 8, 3),), {}, "missing"),
    ("MAX_POOL_2D", ((1, 8, 8, 3),), {"filter": (2, 2), "pad": (2, 0, 0, 0)}, "nothing but padding"),
    ("MEAN", ((2, 3),), {"axes": (2,)}, "axis"),
    ("MEAN", ((2, 3),), {"axes": (1, 0)}, "sorted"),
    ("RESHAPE", ((2, 3),), {"shape": (4,)}, "reshape"),
    ("RESHAPE", ((2, 3),), {"shape": (-1,)}, "shape"),
    ("TRANSPOSE", ((2, 3),), {"perm": (0, 0)}, "perm"),
    ("PAD", ((2, 3),), {"pads": ((0, 0),)}, "pads"),
    ("PAD", ((2, 3),), {"pads": ((0, 0), (-1, 0))}, "pads"),
    ("CONCATENATION", ((2, 3), (3, 3)), {"axis": 1}, "do not fit"),
    ("CONCATENATION", ((2, 3), (2, 3)), {"axis": -1}, "axis"),
    ("SPLIT", ((2, 4),), {"axis": 1, "sizes": (4,), "extra": 1}, "unknown"),
    ("SPLIT", ((2, 4),), {"axis": 1, "sizes": (2,)}, "sizes"),
    ("SLICE", ((4,),), {"begin": (1,), "size": (4,), "stride": (1,)}, "leaves"),
    ("SLICE", ((4,),), {"begin": (1,), "size": (3,), "stride": (-1,)}, "leaves"),
    ("SLICE", ((4,),), {"begin": (0,), "size": (1,), "stride": (0,)}, "leaves"),
    ("GATHER", ((4,), (2,)), {}, "indices"),
    ("CAST", ((4,),), {"to": "float128"}, "cast"),
    ("DEQUANTIZE", ((4,),), {}, "scale"),
    ("QUANTIZE", ((4,),), {"dtype": "float32"}, "quantize"),
    ("NO_SUCH_OP", ((4,),), {}, "not an operator"),
]


@pytest.mark.parametrize(("op", "shapes", "attrs", "message"), BAD)
def test_misfits_are_named(op: str, shapes: Shapes, attrs: dict[str, Any], message: str) -> None:
    tensors = [Tensor(f"x{i}", s, "float32") for i, s in enumerate(shapes)]
    node = Node(op, tuple(t.name for t in tensors), ("y",), attrs, "layer7/node")
    with pytest.raises(BadModel, match=message) as error:
        ops.infer(node, tensors)
    assert "layer7/node" in str(error.value)


def test_dtypes_must_agree() -> None:
    tensors = [Tensor("a", (2,), "float32"), Tensor("b", (2,), "int8")]
    for op, attrs in (("ADD", {}), ("CONCATENATION", {"axis": 0})):
        with pytest.raises(BadModel, match="dtypes"):
            ops.infer(Node(op, ("a", "b"), ("y",), attrs, "n"), tensors)


def test_constant_indices_are_checked() -> None:
    tensors = [Tensor("a", (3, 2), "float32"), const("i", np.array([0, 3], np.int32))]
    with pytest.raises(BadModel, match="outside"):
        ops.infer(Node("GATHER", ("a", "i"), ("y",), {}, "n"), tensors)
    assert ops.infer(Node("GATHER", ("a", "i"), ("y",), {"axis": 0}, "n"), [Tensor("a", (4, 2), "float32"), tensors[1]]) == [
        ((2, 2), "float32")
    ]


def test_an_absent_optional_input_may_be_none() -> None:
    x, w = Tensor("x", (1, 4, 4, 2), "float32"), Tensor("w", (3, 1, 1, 2), "float32")
    node = Node("CONV_2D", ("x", "w", None), ("y",), {}, "n")
    assert ops.infer(node, [x, w, None]) == [((1, 4, 4, 3), "float32")]
    with pytest.raises(BadModel, match="inputs"):
        ops.infer(Node("CONV_2D", ("x", None), ("y",), {}, "n"), [x, None])


IN_FLOAT = set(
    "ATAN2 BATCH_NORM FLOOR_DIV FLOOR_MOD LOGICAL_AND LOGICAL_NOT LOGICAL_OR REDUCE_ALL REDUCE_ANY "
    "REDUCE_PROD STFT FILTER_BANK".split()
)


def test_every_op_has_a_complete_entry() -> None:
    for name, entry in ops.TABLE.items():
        assert entry.name == name
        assert entry.coupled is not None
        assert (entry.quant == "fixed") == bool(entry.fixed)
        # What is folded, stays with ids and conditions, or stays in float has no integer meaning; everything else has one.
        assert (entry.integer is None) == (name in IN_FLOAT), name
