"""What `prune` is asked for, and what of it makes no sense."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from edgekit.augment import Augment, parse_augment
from edgekit.errors import BadConfig
from edgekit.passes.prune import LEAST, Scope, Score
from edgekit.target import parse_size

if TYPE_CHECKING:
    from edgekit.tasks import Task

# What --score auto tries, each with a short recovery.
WAYS: tuple[tuple[Score, Scope], ...] = (("l2", "uniform"), ("l2", "global"), ("taylor", "global"))
MEASURED = ("flash", "ram", "instructions", "latency")  # limits that are measured on the target


@dataclass(frozen=True)
class Share:
    """A limit: that share (0..1) of what the whole network has."""

    of_whole: float

    def __str__(self) -> str:
        return f"{100 * self.of_whole:g}%"


Limit = float | Share


def parse_limit(text: str, parse: Callable[[str], float]) -> Limit:
    """ "50%" of the whole network, or a number as `parse` reads it. Raises BadConfig, and what `parse` raises."""
    if not text.strip().endswith("%"):
        return parse(text)
    try:
        share = float(text.strip()[:-1]) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise BadConfig(f"'{text}' is no share of the whole network", "50%")
    return Share(share)


@dataclass(frozen=True)
class Settings:
    """How to prune. ratio: share of the MACs (of the weights, without structure) to leave out.

    macs, params: at most so many left. flash, ram: bytes, instructions a run, latency: ms, of the int8 form on the target; each
    may be a Share of the whole network's. max_drop: points of the metric (percent of it, where it has no bound) that may be
    lost. score: "auto" tries WAYS and takes what is best on the samples that decide. pattern: (n, m): n of m weights stay.
    unstructured: single weights. multiple: channels that stay (None: what the target's kernels take). steps: prune and recover
    in so many steps, each of `epochs`. metric: judged and decided by instead of the task's own (see `tasks_further`).
    """

    ratio: float | None = None
    macs: Limit | None = None
    params: Limit | None = None
    flash: Limit | None = None
    ram: Limit | None = None
    instructions: Limit | None = None
    latency: Limit | None = None
    max_drop: float | None = None
    score: Score | Literal["auto"] = "l2"
    scope: Scope = "global"
    multiple: int | None = None
    least: float = LEAST
    steps: int | None = None
    unstructured: bool = False
    pattern: tuple[int, int] | None = None
    epochs: int = 10
    lr: float = 1e-3
    batch: int = 64
    seed: int = 0
    early_stop: int | None = None
    augment: Augment | None = None
    teacher: bool = True
    task: Task | None = None
    metric: str | None = None
    device: str = "cpu"

    def limits(self) -> dict[str, Limit]:
        """Those that are measured on the target."""
        return {name: value for name in MEASURED if (value := getattr(self, name)) is not None}


NAMES = {f.name for f in fields(Settings)}


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Those of `options` that are settings; limits and `augment` may be text. Raises BadConfig, BadTarget."""
    found = {name: value for name, value in options.items() if name in NAMES}
    for name in ("macs", "params", *MEASURED):
        if isinstance(found.get(name), str):
            found[name] = parse_limit(found[name], parse_size if name in {"flash", "ram"} else _number)
    if isinstance(found.get("augment"), str):
        found["augment"] = parse_augment(found["augment"])
    return Settings(**found)


def _number(text: str) -> float:
    """250000, 250,000, 250k or 6.5M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", text.replace(",", "").strip())
    if match is None:
        raise BadConfig(f"'{text}' is not a number such as 250k or 6.5M")
    return float(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]


def check(s: Settings, data: bool, judged: bool, target: bool) -> None:
    """Raises BadConfig for settings that contradict each other or what was given: data, data to judge on, a target."""
    rules = (s.macs, s.params, *s.limits().values(), s.max_drop)
    sparse = s.unstructured or s.pattern is not None
    faults = [
        (s.ratio is not None and not 0 < s.ratio < 1, f"a ratio of {s.ratio} leaves nothing or everything", "--ratio 0.5"),
        (sparse and any(r is not None for r in rules), "zeros save no MACs, flash or RAM", "--ratio alone, or --pattern"),
        (s.unstructured and s.ratio is None and s.pattern is None, "say how many weights go", "--ratio 0.5"),
        (s.max_drop is not None and not judged, "--max-drop needs data to judge on", "--eval D2 or --split 20%"),
        (s.score == "auto" and not (data and s.epochs), "--score auto tries networks after recovery", "--data D, and --epochs"),
        (s.score == "taylor" and not data, "the Taylor score needs data", "--data D"),
        (
            bool(s.limits()) and not target,
            "--flash, --ram, --instructions and --latency are measured on a target",
            "--target T",
        ),
        (s.steps is not None and s.steps < 1, f"{s.steps} steps make no sense", "--steps 1"),
        (not 0 < s.least <= 1, f"a least share of {s.least} makes no sense", "0.1 keeps a tenth of each layer"),
    ]
    for wrong, what, hint in faults:
        if wrong:
            raise BadConfig(what, hint)


def check_goal(s: Settings) -> None:
    """Raises BadConfig when nothing says how much to prune."""
    if not (s.pattern or s.limits() or any(r is not None for r in (s.ratio, s.macs, s.params, s.max_drop))):
        raise BadConfig(
            "how much is to be pruned?",
            "--ratio 0.5, or --macs, --params, --flash, --ram, --instructions, --latency, --max-drop",
        )
