"""Kernels of functions, comparisons, choices and indices: many in one program, under sanitizers, against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgekit import ops, reference
from edgekit.bench.host_c import run_c
from edgekit.errors import EdgekitError
from edgekit.export.c import export_c, interface
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const
from edgekit.ops.functions import FUNCTIONS, ON_INTEGERS

Use = tuple[str, Sequence[tuple[tuple[int, ...], str] | Array], dict[str, Any]]
BINARY = "MAXIMUM MINIMUM SQUARED_DIFFERENCE EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL".split()
WHOLE = ["ADD", "SUB", "MUL", "DIV", "FLOOR_DIV", "FLOOR_MOD", "POW"]
SHAPE = (2, 3, 4)


def uses(kind: str) -> list[Use]:
    """Every operator that has a kernel for `kind`, on inputs that broadcast in different ways."""
    one, other = (SHAPE, kind), ((3, 1), kind)
    made: list[Use] = []
    if kind == "bool":
        made += [(op, [one, ((4,), kind)], {}) for op in ("LOGICAL_AND", "LOGICAL_OR", "EQUAL", "NOT_EQUAL")]
        made += [("LOGICAL_NOT", [one], {}), ("REDUCE_ANY", [one], {"axes": (0, 2)}), ("REDUCE_ALL", [one], {"axes": (1,)})]
        made += [("CAST", [one], {"to": "float32"}), ("CAST", [(SHAPE, "float32")], {"to": "bool"})]
    else:
        names = FUNCTIONS if kind != "int32" else ON_INTEGERS
        made += [(op, [((256,), kind)], {}) for op in names]
        made += [(op, [one, other], {}) for op in BINARY]
        made += [("TOPK_V2", [((2, 9), kind)], {"k": 4}), ("ARG_MAX", [one], {"axis": 1}), ("ARG_MIN", [one], {"axis": 2})]
        flags = [{"exclusive": e, "reverse": r} for e in (False, True) for r in (False, True)]
        made += [("CUMSUM", [one], {"axis": 1, **flag}) for flag in flags]
        made += [("SCATTER_ND", [np.array([[3], [1]], np.int32), ((2, 3), kind)], {"shape": (5, 3)})]
    if kind == "int8":
        made += [("POW", [((256,), kind), np.array(2.5, np.float32)], {})]
    if kind in {"float32", "int32"}:
        made += [(op, [one, other], {}) for op in WHOLE] + [("REDUCE_PROD", [one], {"axes": (0, 2)})]
        made += [("SUM", [one], {"axes": (1,)}), ("REDUCE_MAX", [one], {"axes": (1,)}), ("REDUCE_MIN", [one], {"axes": (0, 1)})]
    made += [("SELECT_V2", [((3, 1), "bool"), ((2, 1, 4), kind), ((4,), kind)], {})]
    made += [("TILE", [((2, 3), kind)], {"multiples": (3, 2)}), ("BROADCAST_TO", [((3, 1), kind)], {"shape": (2, 3, 4)})]
    made += [("GATHER_ND", [one, np.array([[1, 2], [0, 0]], np.int32)], {})]
    made += [("ONE_HOT", [((2, 3), "int32")], {"depth": 4, "axis": 1, "dtype": kind})]
    return made


def program(kind: str, rng: np.random.Generator) -> Graph:
    """All of `uses` side by side."""
    tensors: dict[str, Tensor] = {}
    nodes, inputs = [], []

    def add(tensor: Tensor) -> Tensor:
        tensors[tensor.name] = tensor
        return tensor

    for number, (op, given, attrs) in enumerate(uses(kind)):
        shared = Quant.per_tensor(float(10 ** rng.uniform(-2, -0.7)), int(rng.integers(-128, 128)))
        same = ops.TABLE[op].quant == "same"
        ins = []
        for i, value in enumerate(given):
            name = f"x{number}_{i}"
            if isinstance(value, np.ndarray):
                ins.append(add(const(name, value)))
                continue
            quant = Quant.per_tensor(float(10 ** rng.uniform(-2, -0.7)), int(rng.integers(-128, 128)))
            ins.append(add(Tensor(name, value[0], value[1], None, (shared if same else quant) if value[1] == "int8" else None)))
            inputs.append(name)
        bare = Node(op, tuple(t.name for t in ins), (), attrs, f"use {number}")
        made = ops.infer(bare, ins)
        names = tuple(f"y{number}_{i}" for i in range(len(made)))
        nodes.append(Node(op, bare.inputs, names, attrs, bare.source))
        for name, (shape, dtype) in zip(names, made, strict=True):
            add(Tensor(name, shape, dtype, None, shared if dtype == "int8" else None))
    return build("uses", inputs, [n for node in nodes for n in node.outputs], nodes, tensors)


def fed(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    for name in graph.inputs:
        tensor = graph[name]
        if tensor.dtype == "int8":
            every = np.resize(np.arange(-128, 128), tensor.elements)
            feeds[name] = rng.permutation(every).reshape(tensor.shape).astype(np.int8)
        elif tensor.dtype == "bool":
            feeds[name] = rng.integers(0, 2, tensor.shape).astype(np.bool_)
        elif tensor.dtype == "int32":
            feeds[name] = rng.integers(-4, 5, tensor.shape).astype(np.int32)
        else:
            feeds[name] = (rng.normal(size=tensor.shape) * 2).astype(np.float32)
    return feeds


@pytest.mark.parametrize("kind", ["int8", "float32", "int32", "bool"])
def test_kernels_equal_the_reference(kind: str) -> None:
    rng = np.random.default_rng(5)
    graph = program(kind, rng)
    samples = [fed(graph, rng) for _ in range(3)]
    results = run_c(export_c(graph, "uses"), interface(graph, "uses"), samples, sanitize=True)
    for feeds, got in zip(samples, results, strict=True):
        want = reference.run(graph, feeds)
        for node in graph.nodes:
            for name in node.outputs:
                if want[name].dtype == np.float32:
                    np.testing.assert_allclose(got[name], want[name], rtol=3e-6, atol=1e-6, err_msg=f"{node}")
                else:
                    np.testing.assert_array_equal(got[name], want[name], err_msg=f"{node}")


def test_an_index_out_of_range_is_an_error() -> None:
    x, ids = Tensor("x", (3, 2), "float32"), Tensor("i", (1, 1), "int32")
    node = Node("GATHER_ND", ("x", "i"), ("y",), {}, "look-up")
    graph = build("net", ["x", "i"], ["y"], [node], [x, ids, Tensor("y", (1, 2), "float32")])
    feeds = {"x": np.zeros((3, 2), np.float32), "i": np.array([[3]], np.int32)}
    with pytest.raises(EdgekitError, match="generated program failed"):
        run_c(export_c(graph, "net"), interface(graph, "net"), [feeds])
