"""What devices that are reached add to a benchmark: one Reached an engine that was timed there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekit.bench.on_device import Settings, measure_at
from edgekit.bench.remote import Address, address
from edgekit.data import Dataset
from edgekit.errors import BadConfig, EdgekitError
from edgekit.graph import Graph
from edgekit.measure import Measurement
from edgekit.target import Target


@dataclass(frozen=True)
class Reached:
    """One engine on one device. notes: what to know of this run; details: plain data, for `TargetResult.device`."""

    engine: str
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)


def reach_host(graph: Graph, targets: Sequence[Target], feed: Dataset | None, settings: Settings) -> list[Reached]:
    """This machine. Raises BadConfig when targets are named: a time taken here is no other device's."""
    if targets:
        name = targets[0].name
        raise BadConfig(
            f"--runner host measures this machine, which is no {name}", f"leave --target out, or bind it: {name}=ssh://…"
        )
    return _timed(address("host"), graph, None, feed, settings)


def reach(
    graph: Graph, targets: Sequence[Target], devices: Sequence[Address | None], feed: Dataset | None, settings: Settings
) -> list[list[Reached]]:
    """What was timed for each target: empty where there is no device. Raises BadConfig for a device of the wrong kind, and what
    reaching it raises."""
    bound = list(zip(targets, devices or [None] * len(targets), strict=True))
    for target, where in bound:  # before anything takes its time
        if where is not None and (where.scheme == "serial") != (target.kind == "mcu"):
            fix = "serial:///dev/ttyACM0" if target.kind == "mcu" else "ssh://user@host, or adb://SERIAL"
            raise BadConfig(f"{target.name} is not reached by {where.text}", fix)
    return [[] if where is None else _reached(where, graph, target, feed, settings) for target, where in bound]


def _reached(where: Address, graph: Graph, target: Target, feed: Dataset | None, settings: Settings) -> list[Reached]:
    return _board(where, graph, settings.exported) if where.scheme == "serial" else _timed(where, graph, target, feed, settings)


def _timed(where: Address, graph: Graph, target: Target | None, feed: Dataset | None, settings: Settings) -> list[Reached]:
    return [
        Reached(t.engine, tuple(t.measurements()), (f"{t.engine} on {t.before.cpu}", *t.notes), t.to_json())
        for t in measure_at(where, graph, target, feed, settings)
    ]


def _board(where: Address, graph: Graph, exported: Dataset | None) -> list[Reached]:
    """A board's own self-test. Raises EdgekitError when it did not pass: its times would be those of a wrong answer."""
    from edgekit.bench.serial import announce, ask_board

    test = ask_board(where, graph, exported, announce)
    if not test.passed:
        raise EdgekitError(
            f"the board on {where.text} does not run this model right: {test.reason}", "edgekit verify --runner serial://…"
        )
    notes = [f"{test.found.vectors} golden vectors equal on the board", *([] if test.ours else [test.doubt])]
    return [Reached(test.form, tuple(test.measurements()), tuple(notes), test.to_json())]
