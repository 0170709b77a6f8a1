"""edgekit.toml: the models of a project and the limits they must keep."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgekit.errors import BadConfig, BadTarget
from edgekit.gate import DEFAULT_ACCEPT, Limit
from edgekit.measure import ERRORS, HOW, JUDGED_TASKS, SHARES, UNITS, Judged
from edgekit.target import find_target

DEFAULT_NAME = "edgekit.toml"
# Keys of [model.NAME] beside the metrics: what they must be.
TEXTS = ("source", "data", "eval", "split", "weights", "outputs", "audio", "image", "task", "scheme", "observer", "io")
CHOICES = {"observer": ("minmax", "percentile", "mse", "entropy"), "io": ("int8", "float"), "task": JUDGED_TASKS}
TABLES = {"args": "args", "states": "states", "set": "fixed"}  # of texts -> the field of ModelConfig
OPTIONS = (*TEXTS, *TABLES, "samples", "ram_budget", "trust", "shapes", "limits")
BOUNDS = ("max", "min", "accept", "at_most_error")
EVIDENCE = tuple(how for how in HOW if how != "unavailable")
# unit -> factor to the metric's own unit
BYTES = {"": 1, "B": 1, "K": 1024, "KB": 1024, "KIB": 1024, "M": 1024**2, "MB": 1024**2, "MIB": 1024**2}
FACTORS: dict[str, Mapping[str, float]] = {
    "B": BYTES,
    "ms": {"": 1, "MS": 1, "S": 1000, "US": 0.001, "ΜS": 0.001},
    "pt": {"": 1, "PT": 1, "PTS": 1, "%": 1},
    "uJ": {"": 1, "UJ": 1, "ΜJ": 1, "MJ": 1000, "J": 1_000_000},
    "": {"": 1, "K": 1e3, "M": 1e6, "G": 1e9},
}
EXAMPLES = {"B": '"128 KiB"', "ms": '"60 ms"', "pt": '"1 pt"', "uJ": '"500 uJ"', "": '"7.5 M"'}


@dataclass(frozen=True)
class ModelConfig:
    """One [model.NAME]. Paths are relative to the file's folder already, which is `folder`; None where a key is not given.

    limits: at model level (target None) and per target. growth: target -> metric -> largest relative growth (0.02 = 2 %).
    """

    name: str
    source: str
    folder: Path = Path()
    data: str | None = None
    eval: str | None = None
    split: str | None = None
    weights: str | None = None
    outputs: str | None = None
    audio: str | None = None
    image: str | None = None
    task: Judged | None = None
    scheme: str = "int8"
    observer: Literal["minmax", "percentile", "mse", "entropy"] = "minmax"
    io: Literal["int8", "float"] = "int8"
    samples: int = 256
    ram_budget: int | None = None
    trust: bool = False
    args: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    growth: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def spec_files(self) -> tuple[str, ...]:
        """The files of the front-end and of the pictures' preparation, where they are in files."""
        return tuple(spec for spec in (self.audio, self.image) if spec and spec.endswith(".toml"))

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets that limits are given for, in order."""
        return tuple(dict.fromkeys([*(x.target for x in self.limits if x.target), *self.growth]))


def read_config(path: Path) -> tuple[ModelConfig, ...]:
    """The models of an edgekit.toml. Raises BadConfig naming every fault with the nearest right key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadConfig(f"no {path}", "name it with --config, or write one: [model.NAME] with source and limits") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"cannot read {path}: {error}") from error
    return parse_config(table, path.parent, str(path))


def pick(models: Sequence[ModelConfig], names: Sequence[str], where: str) -> tuple[ModelConfig, ...]:
    """The models of those names, all when there are none. Raises BadConfig for a name that is not there."""
    known = [m.name for m in models]
    wrong = [f"'{name}'{_near(name, known)}" for name in names if name not in known]
    if wrong:
        raise BadConfig(f"{where} has no model {'; '.join(wrong)}", f"it has: {', '.join(known)}")
    return tuple(m for m in models if not names or m.name in names)


def parse_config(table: Mapping[str, Any], folder: Path, where: str) -> tuple[ModelConfig, ...]:
    """The models of a parsed edgekit.toml; paths in it are relative to `folder`. Raises BadConfig naming every fault."""
    faults: list[str] = []
    _unknown(table, ("model",), "", faults)
    models = _table(table, "model", "", faults)
    if not models and not faults:
        faults.append("no [model.NAME]")
    parsed = [_model(name, models[name], folder, faults) for name in models]
    if faults:
        raise BadConfig(f"{where} is not valid:\n  " + "\n  ".join(faults))
    return tuple(m for m in parsed if m is not None)


def _model(name: str, table: Any, folder: Path, faults: list[str]) -> ModelConfig | None:
    at = f"model.{name}"
    if not isinstance(table, dict):
        faults.append(f"{at} must be a table")
        return None
    _unknown(table, (*OPTIONS, *UNITS), at, faults)
    texts = {key: _typed(table, key, str, "a text", at, faults) for key in TEXTS if key in table}
    for key, allowed in CHOICES.items():
        if isinstance(texts.get(key), str) and texts[key] not in allowed:
            faults.append(f"{at}.{key} is '{texts[key]}', not one of {', '.join(allowed)}{_near(texts[key], allowed)}")
    if "source" not in table:
        faults.append(f"{at} has no source")
    for key in ("source", "data", "eval", "weights"):
        if isinstance(texts.get(key), str):
            texts[key] = str(folder / texts[key])
    for key in ("audio", "image"):
        spec = texts.get(key)
        if isinstance(spec, str) and spec.endswith(".toml"):
            texts[key] = str(folder / spec)
    rest: dict[str, Any] = {}
    if "samples" in table:
        rest["samples"] = _typed(table, "samples", int, "a whole number", at, faults)
    if "ram_budget" in table:
        rest["ram_budget"] = round(parse_amount("ram", table["ram_budget"], f"{at}.ram_budget", faults))
    if "trust" in table:
        rest["trust"] = _typed(table, "trust", bool, "true or false", at, faults)
    for key, own in TABLES.items():
        rest[own] = {name: str(value) for name, value in _table(table, key, at, faults).items()}
    rest["shapes"] = {
        key: _shape(value, f"{at}.shapes.{key}", faults) for key, value in _table(table, "shapes", at, faults).items()
    }
    limits = [_limit(metric, table[metric], None, f"{at}.{metric}", faults) for metric in UNITS if metric in table]
    growth: dict[str, dict[str, float]] = {}
    for target, bounds in _table(table, "limits", at, faults).items():
        inside = f"{at}.limits.{target}"
        if target in UNITS:
            faults.append(
                f"{inside}: limits are given per target, [{at}.limits.TARGET]; for all targets write {target} in [{at}]"
            )
            continue
        try:
            find_target(str(folder / target) if target.endswith(".toml") else target)
        except BadTarget as error:
            faults.append(f"{inside}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
        if not isinstance(bounds, dict):
            faults.append(f"{inside} must be a table of limits")
            continue
        _unknown(bounds, (*UNITS, "growth"), inside, faults)
        limits += [_limit(metric, bounds[metric], target, f"{inside}.{metric}", faults) for metric in UNITS if metric in bounds]
        if "growth" in bounds:
            rules = _table(bounds, "growth", inside, faults)
            _unknown(rules, UNITS, f"{inside}.growth", faults)
            growth[target] = {m: _percent(rules[m], f"{inside}.growth.{m}", faults) for m in UNITS if m in rules}
            if "accuracy_drop" in rules:
                faults.append(f"{inside}.growth.accuracy_drop has no meaning: it is a difference; limit accuracy_drop itself")
    found = tuple(limit for limit in limits if limit is not None)
    if faults:
        return None
    return ModelConfig(name=name, folder=folder, limits=found, growth=growth, **texts, **rest)


def _limit(metric: str, value: Any, target: str | None, at: str, faults: list[str]) -> Limit | None:
    before = len(faults)
    accept, error = DEFAULT_ACCEPT, None
    kind, bound = "min" if metric in SHARES else "max", 0.0
    if isinstance(value, dict):
        _unknown(value, BOUNDS, at, faults)
        given = [key for key in ("max", "min") if key in value]
        if len(given) != 1:
            faults.append(f"{at} needs one of max and min")
        else:
            kind, bound = given[0], parse_amount(metric, value[given[0]], at, faults)
        if "accept" in value:
            accept = value["accept"]
            if accept not in EVIDENCE:
                faults.append(f"{at}.accept is {accept!r}, not one of {', '.join(EVIDENCE)}{_near(str(accept), EVIDENCE)}")
        if "at_most_error" in value:
            error = _percent(value["at_most_error"], f"{at}.at_most_error", faults)
    else:
        match = re.match(r"\s*(>=|<=)\s*", value) if isinstance(value, str) else None
        if match:
            kind, value = "min" if match[1] == ">=" else "max", value[match.end() :]
        bound = parse_amount(metric, value, at, faults)
    if len(faults) > before:
        return None
    return Limit(metric, bound, "min" if kind == "min" else "max", target, accept, error)


def parse_amount(metric: str, value: Any, at: str, faults: list[str]) -> float:
    """The number in "128 KiB", "60 ms", "1 pt", "90 %" or 3, in the metric's own unit; adds a fault when it is none of these.

    K, KB and KiB are 1,024 bytes, as flash and RAM are counted; for counts (instructions, macs) K is 1,000.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    factors = {"": 1.0, "%": 0.01} if metric in SHARES else FACTORS[UNITS[metric]]
    match = re.fullmatch(r"\s*(\d[\d,_]*(?:\.\d+)?)\s*([A-Za-zµμ%]*)\s*", value) if isinstance(value, str) else None
    if match is None or match[2].upper() not in factors:
        example = '">= 0.90"' if metric in SHARES else '"<= 2.5"' if metric in ERRORS else EXAMPLES[UNITS[metric]]
        faults.append(f"{at} is {value!r}, write it as {example}")
        return 0.0
    return float(match[1].replace(",", "").replace("_", "")) * factors[match[2].upper()]


def _percent(value: Any, at: str, faults: list[str]) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    if match is None:
        faults.append(f'{at} is {value!r}, write it as "20 %"')
        return 0.0
    return float(match[1]) / 100


def _shape(value: Any, at: str, faults: list[str]) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(isinstance(n, int) and n > 0 for n in value):
        faults.append(f"{at} must be a list of positive whole numbers")
        return ()
    return tuple(value)


def _typed(table: Mapping[str, Any], key: str, kind: type, what: str, at: str, faults: list[str]) -> Any:
    if not isinstance(table[key], kind) or (isinstance(table[key], bool) and kind is not bool):
        faults.append(f"{at}.{key} must be {what}")
    return table[key]


def _table(table: Mapping[str, Any], key: str, at: str, faults: list[str]) -> dict[str, Any]:
    value = table.get(key, {})
    if isinstance(value, dict):
        return value
    faults.append(f"{at + '.' if at else ''}{key} must be a table")
    return {}


def _unknown(table: Mapping[str, Any], known: Iterable[str], at: str, faults: list[str]) -> None:
    allowed = tuple(known)
    faults += [f"unknown key {at + '.' if at else ''}{key}{_near(key, allowed)}" for key in table if key not in allowed]


def _near(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, tuple(known), 1)
    return f", did you mean '{close[0]}'?" if close else ""
