"""On the emulated core: undefined behaviour in C, and reads past constants, arena and stack, stop the firmware."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.emulate.result import BUDGET
from edgekit.bench.emulate.unicorn import run_trapping
from edgekit.dsp import isa_of
from edgekit.errors import EdgekitError
from edgekit.export.c import compile_c
from edgekit.target import find_target
from tests.bench.firmware import BOARD, FACE, FRAME, sample, toy
from tests.export.c import nets

BODY = FRAME + "int32_t toy_run_static(void) { for (int i = 0; i < 4; i++) s.arena[4 + i] = s.arena[i]; WRONG return 0; }"
TABLE = "static const int8_t table[4] = {1, 2, 3, 4};\n"


@pytest.mark.parametrize(
    "wrong",
    [
        "volatile int32_t big = INT32_MAX; big = big + s.arena[0];",
        "volatile int32_t far = 1; far = far << (31 + s.arena[0]);",
        "volatile int64_t low = -1; low = low << s.arena[0];",
        "volatile int32_t none = 0; none = 1 / (none * s.arena[0]);",
        "int32_t *volatile odd = (int32_t *)(void *)(s.arena + 1); s.arena[4] = (int8_t)*odd;",
    ],
    ids=["overflow", "wide shift", "shift of a negative number", "division by zero", "misaligned"],
)
def test_undefined_behaviour_stops_the_core(wrong: str) -> None:
    with pytest.raises(EdgekitError, match=r"stopped|fault|invalid|undefined|UDF|instruction"):
        run_trapping(toy(BODY.replace("WRONG", wrong)), FACE, BOARD, [sample(1, 2, 3, 4)], BUDGET)


def test_defined_code_runs() -> None:
    out = run_trapping(toy(BODY.replace("WRONG", "")), FACE, BOARD, [sample(1, 2, 3, 4)], BUDGET)
    assert out[0]["y"].tolist() == [[1, 2, 3, 4]]


NETWORKS = [("tangle", 0), ("tangle", 1), ("chained", 2), ("chained", 3)]


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "riscv32"])
@pytest.mark.parametrize(("kind", "seed"), NETWORKS)
def test_generated_c_has_none(core: str, kind: str, seed: int) -> None:
    """Random networks of every operator and of convolutions in place, with scales that no sane network has."""
    graph = nets.tangle("int8", 12, seed) if kind == "tangle" else nets.chained(seed, 8)
    target = find_target(f"{core}:flash=4M,ram=1M")
    made = compile_c(graph, "net", isa=isa_of(core))
    feeds = [nets.feeds(graph, np.random.default_rng(seed)) for _ in range(2)]
    outputs = run_trapping(made.files, made.interface, target, feeds, BUDGET)
    for feed, output in zip(feeds, outputs, strict=True):
        want = reference.run(graph, feed)
        assert all(np.array_equal(want[name], output[name]) for name in graph.outputs)
