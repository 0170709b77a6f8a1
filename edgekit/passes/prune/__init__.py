"""prune: leave out what matters least. What may go together is `couple`, what goes is `score` and `choose`, `cut` does it."""

from __future__ import annotations

from edgekit.passes.prune.choose import LEAST, Budget, Scope, choose
from edgekit.passes.prune.couple import Coupling, Group, Unit
from edgekit.passes.prune.cut import cost, without
from edgekit.passes.prune.score import SCORES, Score, scores_of
from edgekit.passes.prune.sparse import HONEST, masked, masks_of

__all__ = [
    "HONEST",
    "LEAST",
    "SCORES",
    "Budget",
    "Coupling",
    "Group",
    "Scope",
    "Score",
    "Unit",
    "choose",
    "cost",
    "masked",
    "masks_of",
    "scores_of",
    "without",
]
