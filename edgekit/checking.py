"""Measure the models of edgekit.toml as it says, for the gate."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit import api
from edgekit.config import ModelConfig
from edgekit.errors import BadConfig
from edgekit.measure import Measurement
from edgekit.pipeline import open_model
from edgekit.report.model import RunReport
from edgekit.target import find_target

# A model without limits on a target is measured as this one: sizes and accuracy need some target.
DEFAULT_TARGET = "mcu"


def measure_model(config: ModelConfig) -> RunReport:
    """All measurements that the limits of one model may be about; a float model is quantized first, as `scheme` says.

    Targets keep the names the configuration gives them. Raises what loading, data and targets raise, and BadConfig for a
    float model that is to be quantized without data.
    """
    names = config.targets or (DEFAULT_TARGET,)
    boards = [find_target(name) for name in names]
    source = open_model(config.source, **_load_options(config))
    judged = config.eval or _own_test_split(config.data)
    own: list[Measurement] = []
    graph: Any = source.graph
    if not source.graph.is_quantized and config.scheme != "float32":
        if config.data is None:
            raise BadConfig(f"model.{config.name}: the model is float and has no data to be quantized on", 'add data = "..."')
        done = api.quantize(
            source.graph,
            f"{config.name}.tflite",
            config.data,
            eval=judged,
            split=config.split,
            scheme=config.scheme,
            observer=config.observer,
            samples=config.samples,
            io=config.io,
            target=boards[0] if all(board.kind == "mcu" for board in boards) else None,
        )
        graph, own, judged = done.graph, [done.accuracy, done.accuracy_drop], None
    report = api.bench(graph, list(boards), eval=judged)
    results = tuple(
        replace(result, target=name, measurements=_with(result.measurements, own))
        for name, result in zip(names, report.results, strict=True)
    )
    return replace(report, source=config.source, sha256=source.sha256, results=results)


def _load_options(config: ModelConfig) -> dict[str, Any]:
    given = {"weights": config.weights, "args": config.args, "shapes": config.shapes}
    return {key: value for key, value in given.items() if value}


def _own_test_split(data: str | None) -> str | None:
    """A function that gives the data knows its own test split; a file is one set, and judging on it would flatter."""
    return data if data is not None and re.fullmatch(r".+\.py(:\w+)?", str(Path(data))) else None


def _with(measurements: tuple[Measurement, ...], own: list[Measurement]) -> tuple[Measurement, ...]:
    replaced = {m.metric: m for m in own}
    return tuple(replaced.get(m.metric, m) for m in measurements)
