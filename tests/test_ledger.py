"""The ledger: parts sum to the metrics, the arena is divided as it is at its peak, savings are differences of plans."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import numpy as np
import pytest

from edgekit.api import export
from edgekit.bench.emulate import emulate
from edgekit.bench.measuring import measure
from edgekit.boundary import random_feeds
from edgekit.errors import DoesNotFit
from edgekit.export.c import export_c, interface
from edgekit.graph import Graph, Node, Quant, Tensor, build, const
from edgekit.inspection import inspect_graph
from edgekit.ledger import Ledger, from_json, of_firmware, planned, trained_bytes
from edgekit.memory import plan
from edgekit.pipeline import prepare
from edgekit.report.inspect import inspect_text
from edgekit.report.ledger import ledger_text
from edgekit.report.model import RunReport, TargetResult
from edgekit.report.model import from_json as run_from_json
from edgekit.report.run import run_text
from edgekit.schedule import schedule
from edgekit.target import find_target

Q = Quant.per_tensor(0.1)


def network() -> Graph:
    """Two 3x3 convolutions with equal weights, a RELU in place, a mean."""
    weights = np.random.default_rng(1).integers(-127, 128, (4, 3, 3, 4)).astype(np.int8)
    scales = Quant.per_channel(np.full(4, 0.01, np.float32), 0)
    shapes = {"x": (1, 8, 8, 4), "a": (1, 8, 8, 4), "b": (1, 8, 8, 4), "c": (1, 8, 8, 4), "y": (1, 4)}
    tensors = [Tensor(name, shape, "int8", None, Q) for name, shape in shapes.items()]
    same = {"pad": (1, 1, 1, 1)}
    nodes = [
        Node("CONV_2D", ("x", "w1"), ("a",), same),
        Node("RELU", ("a",), ("b",)),
        Node("CONV_2D", ("b", "w2"), ("c",), same),
        Node("MEAN", ("c",), ("y",), {"axes": (1, 2)}),
    ]
    return build("n", ["x"], ["y"], nodes, [*tensors, const("w1", weights, scales), const("w2", weights.copy(), scales)])


def sizes(book: Ledger, memory: str) -> dict[str, int]:
    return {part.name: part.size for part in (book.ram if memory == "RAM" else book.flash)}


def saved(book: Ledger, technique: str) -> int:
    return next((saving.size for saving in book.savings if saving.technique == technique), 0)


def test_what_a_plan_knows() -> None:
    graph = network()
    book, layout = planned(graph), plan(schedule(graph))
    assert (book.how, book.arena, book.ram_total) == ("planned", layout.peak, layout.peak)
    assert sizes(book, "flash") == {"weights": 4 * 9 * 4}  # equal ones once
    assert book.io == 256 + 4
    apart = plan(schedule(graph, in_place=False)).peak
    assert saved(book, "outputs in place of inputs") == apart - layout.peak
    assert saved(book, "input overwritten") == plan(schedule(graph, const_input=True)).peak - layout.peak
    assert saved(book, "equal weights stored once") == 4 * 9 * 4
    # x, a, b, c and y by themselves, with the scratch of two convolutions.
    scratch = sum(step.scratch.nbytes for step in schedule(graph).steps if step.scratch is not None)
    assert apart + saved(book, "buffers that share memory over time") == pytest.approx(4 * 256 + 4 + scratch, abs=16)


def test_a_const_input_is_alive_at_the_peak_and_saves_nothing() -> None:
    book = planned(network(), const_input=True)
    assert sizes(book, "RAM")["I/O"] >= 256
    assert saved(book, "input overwritten") == 0


def test_a_firmware_is_accounted_for_to_the_byte() -> None:
    graph = network()
    run = emulate(export_c(graph, "n"), interface(graph, "n"), find_target("mcu"), random_feeds(graph, 1))
    book = of_firmware(graph, run)
    assert (book.how, book.flash_total, book.ram_total) == ("emulated", run.flash, run.ram)
    assert sizes(book, "RAM")["stack"] == run.stack
    flash = sizes(book, "flash")
    assert flash["weights"] >= 4 * 9 * 4
    assert flash["constants"] >= 4 * (4 + 1)  # a multiplier and a shift a channel
    assert flash["code"] == run.flash_parts["code"]
    assert from_json(json.loads(json.dumps(asdict(book)))) == book
    report = RunReport("m", "", (TargetResult("mcu", "c", (), ledger=book),))
    assert run_from_json(json.loads(json.dumps(report.to_json())), "here") == report
    assert re.search(rf"total +{run.flash:,}$", run_text(report), re.MULTILINE)
    assert re.search(rf"total +{run.ram:,}$", run_text(report), re.MULTILINE)


def test_the_text_says_what_is_not_known_and_what_was_saved() -> None:
    found = inspect_graph(network())
    assert found.ledger is not None
    assert found.ledger.arena == found.peak_ram
    text = inspect_text(found)
    assert ledger_text(found.ledger) in text
    assert "stack are known when it is built" in text
    assert f"saved by equal weights stored once: {4 * 9 * 4:,} B of flash, planned" in text
    assert f"peak of the arena, {found.peak_ram} B: step " in text


def test_what_does_not_fit_is_told_why_and_what_would() -> None:
    graph = prepare(network(), "c")
    arena, kept = planned(graph, isa="dsp").arena, planned(graph, const_input=True, isa="dsp").arena
    small = find_target(f"cortex-m4:flash=64K,ram={arena - 1}")
    with pytest.raises(DoesNotFit, match="1 B too many") as caught:
        export(graph, small, project="none")
    assert "saved by outputs in place" in caught.value.message
    peak = planned(graph, isa="dsp").peak
    assert f"less at {peak}" in caught.value.hint
    assert export(graph, find_target(f"cortex-m4:flash=64K,ram={kept - 1}"), project="none").files
    with pytest.raises(DoesNotFit) as caught:
        export(graph, find_target(f"cortex-m4:flash=64K,ram={kept - 1}"), project="none", const_input=True)
    assert f"without --const-input it is {arena:,} B" in caught.value.hint


def test_weights_beyond_the_flash_are_refused_before_files_are_made() -> None:
    graph = prepare(network(), "c")
    weights = trained_bytes(graph, isa="dsp")
    with pytest.raises(DoesNotFit, match=f"weights alone take {weights:,}, 1 bytes too many"):
        export(graph, find_target(f"cortex-m4:flash={weights - 1},ram=64K"), project="none")


def test_a_bench_of_what_does_not_fit_has_the_plan() -> None:
    graph = network()
    (result,) = measure(graph, [find_target("cortex-m4:flash=3K,ram=64K")])
    flash = result.get("flash")
    assert flash is not None
    assert flash.value is None
    assert result.ledger is not None
    assert result.ledger.how == "planned"
    assert result.ledger.arena == planned(prepare(graph, "c"), isa="dsp").arena


def test_a_core_without_firmware_has_the_plan_too() -> None:
    graph = network()
    (result,) = measure(graph, [find_target("esp32-s3")])
    arena, flash = result.get("arena"), result.get("flash")
    assert arena is not None
    assert flash is not None
    assert (arena.value, arena.how) == (planned(prepare(graph, "c")).arena, "planned")
    assert "compiles and emulates nothing for xtensa-lx7" in flash.note
    assert result.ledger is not None
