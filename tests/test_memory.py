from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from edgekit.errors import BadConfig
from edgekit.graph import Graph, Node, Quant, Tensor, build
from edgekit.memory import Plan, occupancy, plan
from edgekit.schedule import Program, schedule
from tests.export.c.nets import tangle

Q = Quant.per_tensor(0.1)


def overlaps(program: Program, layout: Plan) -> list[tuple[int, str, str]]:
    """(slot, buffer, buffer) of live buffers that share a byte."""
    need = occupancy(program)
    found = []
    for slot in range(len(program.steps) + 2):
        alive = sorted((layout.offsets[n], n, int(row[slot])) for n, row in need.items() if row[slot])
        for (at, name, size), (after, other, _) in pairwise(alive):
            if at + size > after:
                found.append((slot, name, other))
    return found


@pytest.mark.parametrize("alignment", [4, 16])
@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("seed", range(15))
def test_live_buffers_never_overlap(kind: str, seed: int, alignment: int) -> None:
    choices: tuple[dict[str, Any], ...] = ({}, {"in_place": False}, {"const_input": True})
    for options in choices:
        program = schedule(tangle(kind, 40, seed), **options)
        layout = plan(program, alignment=alignment)
        assert overlaps(program, layout) == []
        need = occupancy(program)
        ends = [layout.offsets[n] + int(row.max()) for n, row in need.items()]
        assert max(ends) <= layout.peak < max(ends) + alignment
        assert all(at % alignment == 0 for at in layout.offsets.values())
        assert layout.peak >= layout.bound >= int(np.sum(list(need.values()), axis=0).max())


def test_the_overlap_check_can_fail() -> None:
    program = schedule(tangle("int8", 20, 0))
    layout = plan(program)
    assert overlaps(program, Plan(dict.fromkeys(layout.offsets, 0), 0, 0, 4, layout.who))


def test_search_meets_the_bound_on_most_networks() -> None:
    over = [found.peak / found.bound for found in (plan(schedule(tangle("int8", 40, seed))) for seed in range(20))]
    assert over.count(1) >= 15
    assert max(over) < 1.05


def residual() -> Graph:
    """x -> a -> b, y = a + b through kernels that are not in place."""
    shape = (1, 8, 8, 4)
    nodes = [
        Node("TRANSPOSE", ("x",), ("a",), {"perm": (0, 2, 1, 3)}, "turn one"),
        Node("TRANSPOSE", ("a",), ("b",), {"perm": (0, 2, 1, 3)}, "turn two"),
        Node("ADD", ("a", "b"), ("y",), {}, "join"),
    ]
    return build("residual", ["x"], ["y"], nodes, [Tensor(n, shape, "int8", None, Q) for n in "xaby"])


def test_who_sets_the_peak() -> None:
    layout = plan(schedule(residual()))
    assert layout.peak == layout.bound == 512
    assert layout.who.title == "TRANSPOSE turn one"
    assert dict(layout.who.tensors) == {"x": 256, "a": 256}
    assert "x 256 B" in str(layout.who)


def test_const_inputs_cost_their_bytes() -> None:
    assert plan(schedule(residual(), const_input=True)).peak == 768


def test_a_buffer_shrinks_along_its_chain() -> None:
    """A pool in place frees three quarters of its buffer for the next operator's output."""
    tensors = [
        Tensor("x", (1, 8, 8, 4), "int8", None, Q),
        Tensor("p", (1, 4, 4, 4), "int8", None, Q),
        Tensor("y", (1, 4, 4, 12), "int8", None, Q),
    ]
    nodes = [
        Node("MAX_POOL_2D", ("x",), ("p",), {"filter": (2, 2), "stride": (2, 2)}),
        Node("CONCATENATION", ("p", "p", "p"), ("y",), {"axis": 3}),
    ]
    assert plan(schedule(build("g", ["x"], ["y"], nodes, tensors))).peak == 256


def test_plans_are_the_same_every_time() -> None:
    assert plan(schedule(tangle("int8", 60, 5))).offsets == plan(schedule(tangle("int8", 60, 5))).offsets


@pytest.mark.parametrize("alignment", [0, 2, 6])
def test_alignment_is_a_power_of_two_of_at_least_four(alignment: int) -> None:
    with pytest.raises(BadConfig):
        plan(schedule(residual()), alignment=alignment)
