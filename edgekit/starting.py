"""The first edgekit.toml of a model: today's figures with a margin, each limit with a remark on what it was made of."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from edgekit.base import target_spec
from edgekit.config import TABLES, ModelConfig
from edgekit.measure import ERRORS, OTHER_TASKS, SHARES, UNITS, Measurement
from edgekit.report.model import RunReport, TargetResult
from edgekit.report.numbers import amount, evidence, percent
from edgekit.target import find_target

# Metrics that get a limit, by the kind of target.
LIMITED = {"mcu": ("flash", "ram", "instructions", "latency"), "sbc": ("file", "latency"), "phone": ("file", "latency")}
ACCURACY_MARGIN, DROP_MARGIN, ERROR_MARGIN = 0.01, 0.5, 0.02  # a share, points, and a share of today's error
GROWTH = {"flash": "2 %", "ram": "0 %", "file": "2 %"}


def name_of(model: str) -> str:
    """A model's name for its table: its file's, its folder's for a model.py."""
    from edgekit.load.torch import name_of as name_of_network

    function = re.search(r"\.py:(\w+)$", model)
    return name_of_network(Path(model[: function.start(1) - 1] if function else model), function[1] if function else None)


def config_text(config: ModelConfig, report: RunReport, margin: float, others: str = "") -> str:
    """edgekit.toml for one model whose paths are relative to the file already, after `others`, the text that the file has.
    margin: a share of today's figures (0.1)."""
    table = f"model.{_key(config.name)}"
    head = [
        "# The limits that `edgekit check` holds. They are what was measured when this file was written, and a margin of",
        f"# {percent(margin)}: make them what the product can afford. Past a limit the check ends with exit code 1.",
    ]
    lines = [
        *([others.rstrip()] if others else head),
        "",
        f"[{table}]",
        *_options(config),
        *_accuracy(report),
    ]
    for result in report.results:
        lines += ["", f"[{table}.limits.{_key(result.target)}]", *_limits(result, margin, config.folder)]
    return "\n".join(lines) + "\n"


def without(text: str, name: str) -> str:
    """An edgekit.toml's text without the tables of one model, ready for others to be added."""
    kept, own = [], False
    for line in text.splitlines():
        table = re.match(r"\s*\[+\s*model\s*\.\s*(\"[^\"]*\"|'[^']*'|[\w-]+)", line)
        own = table[1].strip("\"'") == name if table else own and not line.startswith("[")
        if not own:
            kept.append(line)
    return "\n".join(kept).rstrip() + "\n" if any(line.strip() for line in kept) else ""


def relative_spec(spec: str, folder: Path) -> str:
    """A path (or file.py:function) as edgekit.toml in `folder` names it."""
    return Path(os.path.relpath(spec, folder)).as_posix()


def _options(config: ModelConfig) -> Iterator[str]:
    remarks = {
        "source": "the model: .onnx, .tflite, .pt2, or file.py:function",
        "data": "what int8 ranges are calibrated on",
        "eval": "labelled data that accuracy is judged on",
        "split": "the share of data that accuracy is judged on",
        "task": "what the labels mean",
        "weights": "of the PyTorch model",
        "outputs": "where the network is cut",
        "audio": "the front-end",
        "image": "how pictures are prepared",
        "scheme": "float32 leaves the model as it is",
        "io": "type of inputs and outputs",
    }
    for key, remark in remarks.items():
        value = getattr(config, key)
        if key == "io" and value == "int8":
            continue
        if value is not None and (key != "scheme" or value == "float32" or config.data is not None):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}  # {remark if value != 'int8' else 'the number format'}"
    if config.trust:
        yield "trust = true  # run the code that the file holds"
    for key, own in TABLES.items():
        pairs = [f"{_key(k)} = {json.dumps(v, ensure_ascii=False)}" for k, v in getattr(config, own).items()]
        if pairs:
            yield f"{key} = {{ {', '.join(pairs)} }}"
    if config.shapes:
        yield f"shapes = {{ {', '.join(f'{_key(k)} = {list(v)}' for k, v in config.shapes.items())} }}"
    if config.data is None and config.scheme == "float32":
        yield '# data = "data.npz"  # with data (and without the line on the scheme) the model is quantized to int8 first'


def _accuracy(report: RunReport) -> Iterator[str]:
    found = {m.metric: m for result in report.results[:1] for m in result.measurements}
    judged = next((metric for metric in OTHER_TASKS if metric in found and found[metric].value is not None), "accuracy")
    for metric in (judged, "accuracy_drop"):
        m = found.get(metric)
        if m is None or m.value is None:
            yield f"# {metric}: {_why(m)}"
        elif metric in ERRORS:
            yield _line(metric, f'"<= {_rounded_error(m.value * (1 + ERROR_MARGIN))}"', m)
        elif metric in SHARES:
            yield _line(metric, f'">= {math.floor(1000 * max(0.0, m.value - ACCURACY_MARGIN)) / 1000:g}"', m)
        else:
            unit = "%" if judged in ERRORS else "pt"
            yield _line(metric, f'"{math.ceil(10 * (max(0.0, m.value) + DROP_MARGIN) - 1e-9) / 10:g} {unit}"', m)


def _limits(result: TargetResult, margin: float, folder: Path) -> Iterator[str]:
    limited = LIMITED[find_target(target_spec(result.target, folder)).kind]
    had = []
    for metric in limited:
        m = result.get(metric)
        if m is None or m.value is None:
            yield f"# {metric}: {_why(m)}"
            continue
        had.append(metric)
        bound = json.dumps(_rounded_up(metric, m.value * (1 + margin)))
        yield _line(metric, f'{{ max = {bound}, accept = "estimated" }}' if m.how == "estimated" else bound, m)
    rules = ", ".join(f'{metric} = "{share}"' for metric, share in GROWTH.items() if metric in had)
    if rules:
        yield f"growth = {{ {rules} }}  # what one change may add: edgekit check --against main"


def _line(metric: str, value: str, m: Measurement) -> str:
    return f"{metric} = {value}  # today {amount(metric, m.value)}, {evidence(m)}"


def _why(m: Measurement | None) -> str:
    note = "not measured" if m is None else m.note.removeprefix("unavailable: ")
    return f"no figure today, {' '.join(note.split())}"


def _rounded_up(metric: str, value: float) -> str:
    """A figure a person would write, never below `value`."""
    unit = UNITS[metric]
    if unit == "B":
        return f"{math.ceil(value / 1024)} KiB" if value > 8192 else f"{64 * math.ceil(value / 64):,} B"
    digits = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    rounded = math.ceil(value / digits - 1e-9) * digits
    if unit == "":
        for suffix, factor in (("M", 1e6), ("K", 1e3)):
            if rounded >= factor:
                return f"{rounded / factor:g} {suffix}"
    return f"{rounded:.10g} {unit}".rstrip()


def _rounded_error(value: float) -> str:
    """Three digits, rounded up, in decimals."""
    digits = 10.0 ** (math.floor(math.log10(value)) - 2) if value > 0 else 1.0
    return f"{math.ceil(value / digits - 1e-9) * digits:.10f}".rstrip("0").rstrip(".")


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else json.dumps(text, ensure_ascii=False)
