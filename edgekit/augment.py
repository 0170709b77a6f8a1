"""What changes a training sample without changing what it is: moved, noisy, blended with another. What `--augment` says."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from edgekit.errors import BadConfig

HINT = "shift=2 (pixels) or shift=0x5x0 (of each axis of a sample), noise=0.1, mix=0.5; several with commas"


@dataclass(frozen=True)
class Augment:
    """shift: most places a sample moves along each axis (source layout, without the batch; one number: rows and columns of an
    image); its edge is repeated. noise: standard deviation, as a share of the batch's own. mix: alpha of the Beta distribution
    that the shares of two blended samples are drawn from (Zhang et al. 2018, mixup); their losses are blended alike."""

    shift: tuple[int, ...] = ()
    noise: float = 0.0
    mix: float = 0.0

    def __bool__(self) -> bool:
        return any(self.shift) or self.noise > 0 or self.mix > 0


def parse_augment(text: str) -> Augment:
    """ "shift=0x5x0,mix=0.5" -> Augment. Raises BadConfig."""
    found: dict[str, tuple[int, ...] | float] = {}
    for part in (p.strip() for p in text.split(",") if p.strip()):
        name, _, value = part.partition("=")
        if name == "shift" and re.fullmatch(r"\d+(x\d+)*", value):
            found[name] = tuple(int(v) for v in value.split("x"))
        elif name in {"noise", "mix"} and re.fullmatch(r"\d*\.?\d+", value) and math.isfinite(float(value)):
            found[name] = float(value)
        else:
            raise BadConfig(f"--augment {text}: '{part}' is none", HINT)
    made = Augment(**found)  # type: ignore[arg-type]
    if not made:
        raise BadConfig(f"--augment {text} changes nothing", HINT)
    return made
