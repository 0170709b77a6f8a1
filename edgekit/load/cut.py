"""--outputs: a model cut at named values, so that what follows them (decoding, non-maximum suppression) is left out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Iterable, Sequence

from edgekit.errors import BadModel

SHOWN = 6


def cut_at(text: str | None) -> list[str] | None:
    """The names of "a,b"; None for no text."""
    return None if text is None else [name for part in text.split(",") if (name := part.strip())]


def chosen(wanted: Sequence[str], made: Iterable[str]) -> list[str]:
    """`wanted`, each once. Raises BadModel, with the nearest names, for one that is not among `made`, the model's values."""
    known = list(dict.fromkeys(made))
    if not wanted:
        raise BadModel("--outputs names no value", "give names as Netron shows them: --outputs boxes,scores")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        near = [n for name in unknown for n in difflib.get_close_matches(name, known, 3, 0.5)]
        shown = ", ".join(dict.fromkeys(near)) or f"the last ones: {', '.join(known[-SHOWN:])}"
        raise BadModel(
            f"--outputs names no value of the model: {', '.join(unknown)}", f"use a name as Netron shows it; {shown}"
        )
    return list(dict.fromkeys(wanted))


def needed(
    count: int, reads: Callable[[int], Iterable[Hashable]], makes: Callable[[int], Iterable[Hashable]], ends: Iterable[Hashable]
) -> list[int]:
    """The nodes (of `count`, in order of execution) that `ends` depend on."""
    wanted, kept = set(ends), []
    for i in reversed(range(count)):
        if not wanted.isdisjoint(makes(i)):
            kept.append(i)
            wanted |= set(reads(i))
    return kept[::-1]
