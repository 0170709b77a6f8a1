"""Plans within a RAM budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgekit import api, reference
from edgekit.bench.emulate import emulate
from edgekit.budget import STACKS, Unreachable, fitted, for_board
from edgekit.cli import main
from edgekit.errors import BadConfig, DoesNotFit
from edgekit.export.c import compile_program
from edgekit.export.tflite import export_tflite
from edgekit.ledger import planned
from edgekit.memory import plan, run_program
from edgekit.schedule import Program, schedule
from edgekit.target import find_target
from tests.export.c.nets import Net, feeds, weights
from tests.test_cascade import stack


def cascades(program: Program) -> list[int]:
    return [len(step.cascade.stages) for step in program.steps if step.cascade is not None]


def test_without_a_budget_and_with_a_large_one_the_plan_is_the_usual_one() -> None:
    graph = stack()
    usual = schedule(graph)
    for budget in (None, plan(usual).peak + STACKS["plain"]):
        assert plan(fitted(graph, ram_budget=budget)).offsets == plan(usual).offsets
        assert cascades(fitted(graph, ram_budget=budget)) == []


@pytest.mark.parametrize("isa", ["plain", "dsp"])
def test_a_smaller_budget_takes_less_memory_and_more_instructions(isa: str) -> None:
    graph = stack()
    data = feeds(graph, np.random.default_rng(0))
    expected = reference.run(graph, data)
    extra, whole = 0, plan(schedule(graph, isa=isa)).peak
    for arena in (whole * 8 // 10, whole * 7 // 10):
        program = fitted(graph, ram_budget=arena + STACKS[isa], isa=isa)
        assert plan(program).peak <= arena
        assert cascades(program)
        cost = sum(step.cascade.extra for step in program.steps if step.cascade is not None)
        assert cost > extra
        extra = cost
        for name, value in run_program(program, data).items():
            np.testing.assert_array_equal(value, expected[name])


def test_the_least_budget_is_named_and_can_be_met() -> None:
    graph = stack()
    least = 0
    for budget in (100, 2000):
        with pytest.raises(Unreachable, match=f"{budget:,} B cannot be met") as caught:
            fitted(graph, ram_budget=budget)
        assert least in {0, caught.value.least}
        least = caught.value.least
    assert plan(fitted(graph, ram_budget=least)).peak + STACKS["plain"] <= least
    with pytest.raises(Unreachable):
        fitted(graph, ram_budget=least - 16)


def test_two_full_places_apart_get_a_cascade_each() -> None:
    net = Net("int8", np.random.default_rng(0), extreme=False)
    x = net.input((1, 20, 20, 4))
    for _ in range(2):
        for channels in (16, 4):
            w, _ = weights(net, (channels, 3, 3, net.of(x).shape[3]), 0)
            x = net.op("CONV_2D", [x, w, None], net.quant(0.3), pad=(1, 1, 1, 1))[0]
        x = net.op("TRANSPOSE", [x], net.of(x).quant, perm=(0, 2, 1, 3))[0]
    graph = net.graph([x])
    program = fitted(graph, ram_budget=plan(schedule(graph)).peak * 6 // 10 + STACKS["plain"])
    assert cascades(program) == [2, 2]
    data = feeds(program.graph, np.random.default_rng(0))
    for name, value in run_program(program, data).items():
        np.testing.assert_array_equal(value, reference.run(program.graph, data)[name])


def test_a_board_that_is_too_small_for_whole_layers_gets_rows() -> None:
    graph = stack()
    whole = plan(schedule(graph)).peak
    assert for_board(graph, whole + STACKS["plain"]).note == ""
    fit = for_board(graph, whole)
    assert cascades(fit.program)
    assert "the board's RAM" in fit.note
    assert for_board(graph, 1000).least == for_board(graph, 2000).least
    assert cascades(for_board(graph, 1000).program) == []


def test_the_firmware_keeps_to_its_budget() -> None:
    graph, target = stack(), find_target("mcu")
    budget = plan(schedule(graph, isa="dsp")).peak * 7 // 10 + STACKS["dsp"]
    model = compile_program(fitted(graph, ram_budget=budget, isa="dsp"), "net")
    data = [feeds(graph, np.random.default_rng(seed)) for seed in range(2)]
    run = emulate(model.files, model.interface, target, data, per_op=True)
    assert run.ram <= budget
    for sample, found in zip(data, run.outputs, strict=True):
        for name, value in reference.run(graph, sample).items():
            np.testing.assert_array_equal(found[name], value)
    assert [step.op for step in run.by_op[:5]] == ["CONV_2D"] * 4 + ["ADD"]
    assert all(step.instructions > 1000 for step in run.by_op[:5])
    assert sum(step.instructions for step in run.by_op) == run.instructions[0]


def test_the_ledger_says_what_it_saved_and_cost() -> None:
    graph = stack()
    program = fitted(graph, ram_budget=plan(schedule(graph)).peak * 7 // 10 + STACKS["plain"])
    saving = next(s for s in planned(graph, program=program).savings if "rows at a time" in s.technique)
    assert saving.size == plan(schedule(graph)).peak - plan(program).peak
    assert "estimated" in saving.note


def test_commands(tmp_path: Path) -> None:
    model = tmp_path / "stack.tflite"
    model.write_bytes(export_tflite(stack()))

    def run(*args: str) -> Result:
        return CliRunner().invoke(main, [args[0], str(model), "--target", "mcu", *args[1:]])

    done = run("export", "-o", str(tmp_path / "a"), "--project", "none", "--ram-budget", "8K")
    assert done.exit_code == 0
    assert "rows at a time, for --ram-budget" in done.stdout
    done = run("export", "-o", str(tmp_path / "b"), "--ram-budget", "1K")
    assert done.exit_code == 2
    assert "the least that was found is" in done.stderr
    assert "memory by part" in done.stderr
    assert not (tmp_path / "b").exists()
    done = run("bench", "--ram-budget", "1K")
    assert done.exit_code == 2
    assert "the least that was found is" in done.stderr
    with pytest.raises(BadConfig, match="goes with --format c"):
        api.export(str(model), "mcu", format="tflite", ram_budget="8K")
    with pytest.raises(DoesNotFit, match="B at least, stack included"):
        api.export(str(model), "cortex-m4:flash=256K,ram=2K")
