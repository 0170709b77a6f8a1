"""The smallest network of each operator, for the generated page that says which engine has what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit import ops
from edgekit.boundary import random_feeds
from edgekit.graph import Array, Graph, Node, Quant, Shape, Tensor, build, const
from edgekit.ops.functions import DOMAINS


@dataclass(frozen=True)
class Specimen:
    """The smallest use of an operator. data: shapes of its inputs that come at run time; weights: shapes (random numbers) or
    arrays of those that do not. kinds: dtypes of the data, float32 where it ends. first: the constants come first."""

    data: tuple[Shape, ...] = ((1, 4, 4, 3),)
    weights: tuple[Shape | Array, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    first: bool = False
    outputs: int = 1


IMAGE: Shape = (1, 4, 4, 3)
TWO = Specimen((IMAGE, IMAGE))
WINDOW = Specimen(attrs={"filter": (2, 2), "stride": (2, 2)})
OVER = {"axes": (1, 2)}
SEQUENCE: Shape = (1, 5, 3)
CHANNELS = (np.ones(3, np.float32), np.zeros(3, np.float32))
PLACES = np.array([[0, 1], [0, 2]], np.int32)


def _recurrent(gates: int, outputs: int) -> Specimen:
    return Specimen((SEQUENCE,), ((4 * gates, 3), (4 * gates, 4), (4 * gates,)), outputs=outputs)


# What is not here takes one image and has no required attributes.
SPECIMENS: dict[str, Specimen] = {
    **dict.fromkeys("ADD SUB MUL MAXIMUM MINIMUM SQUARED_DIFFERENCE FLOOR_DIV FLOOR_MOD ATAN2".split(), TWO),
    **dict.fromkeys("EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL".split(), TWO),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR"), Specimen((IMAGE, IMAGE), kinds=("bool", "bool"))),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), WINDOW),
    **dict.fromkeys("MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD".split(), Specimen(attrs=OVER)),
    **dict.fromkeys(("REDUCE_ANY", "REDUCE_ALL"), Specimen(attrs=OVER, kinds=("bool",))),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), Specimen(attrs={"size": (8, 8)})),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN", "CUMSUM"), Specimen(((1, 8),), attrs={"axis": 1})),
    **dict.fromkeys(("LAYER_NORM", "RMS_NORM"), Specimen((SEQUENCE,), CHANNELS[:1], attrs={"axis": 2})),
    "BATCH_MATMUL": Specimen(((1, 2, 3), (1, 3, 4))),
    "BATCH_NORM": Specimen(weights=(np.ones(3, np.float32),) * 4),
    "BROADCAST_TO": Specimen(((1, 1, 4),), attrs={"shape": (1, 3, 4)}),
    "CAST": Specimen(attrs={"to": "int32"}),
    "CONCATENATION": Specimen((IMAGE, IMAGE), attrs={"axis": 3}),
    "CONV_2D": Specimen(weights=((2, 3, 3, 3), (2,)), attrs={"pad": (1, 1, 1, 1)}),
    "DEPTHWISE_CONV_2D": Specimen(weights=((1, 3, 3, 3), (3,)), attrs={"pad": (1, 1, 1, 1)}),
    "DEPTH_TO_SPACE": Specimen(((1, 2, 2, 4),), attrs={"block": 2}),
    "DIV": Specimen(weights=(np.array([1, 2, 3], np.float32),)),
    "FILTER_BANK": Specimen(((1, 8),), ((4, 8), (4,))),
    "FULLY_CONNECTED": Specimen(((1, 8),), ((4, 8), (4,))),
    "GATHER": Specimen(weights=(np.array([2, 0], np.int32),), attrs={"axis": 3}),
    "GATHER_ND": Specimen(weights=(PLACES,)),
    "GROUP_NORM": Specimen(weights=CHANNELS, attrs={"groups": 3}),
    "GRU": _recurrent(3, 2),
    "LOGICAL_NOT": Specimen(kinds=("bool",)),
    "LSTM": _recurrent(4, 3),
    "ONE_HOT": Specimen(((1, 3),), attrs={"depth": 4, "axis": 2}, kinds=("int32",)),
    "PAD": Specimen(attrs={"pads": ((0, 0), (1, 1), (1, 1), (0, 0))}),
    "POW": Specimen(weights=(np.array([3], np.float32),)),
    "PRELU": Specimen(weights=((3,),)),
    "RESHAPE": Specimen(attrs={"shape": (1, 48)}),
    "RNN": _recurrent(1, 2),
    "SCATTER_ND": Specimen(((2, 3),), (PLACES,), attrs={"shape": (1, 4, 3)}, first=True),
    "SELECT_V2": Specimen((IMAGE, IMAGE, IMAGE), kinds=("bool",)),
    "SLICE": Specimen(attrs={"begin": (0, 1, 1, 0), "size": (1, 2, 2, 3), "stride": (1, 1, 1, 1)}),
    "SOFTMAX": Specimen(((1, 8),)),
    "SPACE_TO_DEPTH": Specimen(attrs={"block": 2}),
    "SPLIT": Specimen(attrs={"axis": 3, "sizes": (1, 2)}, outputs=2),
    "STFT": Specimen(((1, 64),), weights=((16,), (5, 9)), attrs={"hop": 8, "fft": 16}),
    "TILE": Specimen(attrs={"multiples": (1, 2, 1, 2)}),
    "TOPK_V2": Specimen(((1, 8),), attrs={"k": 3}, outputs=2),
    "TRANSPOSE": Specimen(attrs={"perm": (0, 3, 1, 2)}),
    "TRANSPOSE_CONV": Specimen(weights=((2, 2, 2, 3), (2,)), attrs={"stride": (2, 2)}),
}
# Operators between integers and real numbers are their own specimens in the int8 columns.
EDGES = {"QUANTIZE": ("float32", "int8"), "DEQUANTIZE": ("int8", "float32")}
QUANT = Quant.per_tensor(0.05, 3)


def specimen(op: str) -> Graph:
    """A network of one operator on real numbers (QUANTIZE and DEQUANTIZE: as in an int8 network)."""
    made, rng = SPECIMENS.get(op, Specimen()), np.random.default_rng(0)
    before, after = EDGES.get(op, ("float32", "float32"))
    kinds = [*made.kinds, *[before] * len(made.data)]
    inputs = [Tensor(f"x{i}", s, k, None, _quant(k)) for i, (s, k) in enumerate(zip(made.data, kinds, strict=False))]
    arrays = [w if isinstance(w, np.ndarray) else rng.normal(0, 0.3, w).astype(np.float32) for w in made.weights]
    weights = [const(f"w{i}", array) for i, array in enumerate(arrays)]
    names = tuple(f"y{i}" for i in range(made.outputs))
    operands = (*weights, *inputs) if made.first else (*inputs, *weights)
    node = Node(op, tuple(t.name for t in operands), names, dict(made.attrs), "specimen")
    shapes = ops.infer(node, operands)
    outputs = [
        Tensor(n, s, after if op in EDGES else kind, None, _quant(after)) for n, (s, kind) in zip(names, shapes, strict=True)
    ]
    return build("specimen", [t.name for t in inputs], names, [node], [*operands, *outputs])


def _quant(dtype: str) -> Quant | None:
    return QUANT if dtype == "int8" else None


def samples(graph: Graph, op: str) -> list[dict[str, Array]]:
    """Random inputs to calibrate a specimen on, within the domain of a function."""
    low, high = DOMAINS.get(op, (-np.inf, np.inf))

    def inside(x: Array) -> Array:
        if x.dtype != np.float32 or op not in DOMAINS:
            return x
        return np.asarray(np.tanh(x) * x.dtype.type(0.9) if high == 1.0 else np.abs(x) + x.dtype.type(low + 0.1))

    return [{name: inside(x) for name, x in feeds.items()} for feeds in random_feeds(graph, 2)]
