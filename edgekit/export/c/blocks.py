"""Blocks of parameters that several steps have alike are written once."""

from __future__ import annotations

import re
from collections.abc import Sequence

_START = re.compile(r"static const \w+ (\w+) = \{")
_LOCAL = re.compile(r"static const \w+ (\w+)(?:\[\d+\])? = \{")


def shared(bodies: Sequence[list[str]]) -> tuple[list[str], list[list[str]]]:
    """(lines of the blocks that two or more of `bodies` have, the bodies without them).

    A body is the lines of one step: its blocks `static const TYPE name = {` ... `};`, whose addresses are taken as `&name`.
    A shared block is called after the first step that has it, `name_<number>`, and belongs where every step sees it. A block
    that names another of its step stays there.
    """
    steps: dict[tuple[str, ...], list[int]] = {}
    for number, body in enumerate(bodies):
        for block in _blocks(body):
            steps.setdefault(block, []).append(number)
    top: list[str] = []
    made = [list(body) for body in bodies]
    for block, numbers in steps.items():
        if len(numbers) == 1 or len(set(numbers)) < len(numbers):
            continue
        match = _START.match(block[0])
        assert match is not None
        old, new = match[1], f"{match[1]}_{numbers[0]}"
        top += [block[0].replace(f" {old} = ", f" {new} = "), *block[1:]]
        for number in numbers:
            body = made[number]
            at = body.index(block[0])
            while tuple(body[at : at + len(block)]) != block:
                at = body.index(block[0], at + 1)
            made[number] = [re.sub(rf"&{old}\b", f"&{new}", line) for line in (*body[:at], *body[at + len(block) :])]
    return top, made


def _blocks(body: Sequence[str]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    local = {match[1] for line in body if (match := _LOCAL.match(line))}
    start = -1
    for index, line in enumerate(body):
        if _START.match(line):
            start = index
        elif line == "};" and start >= 0:
            if local.isdisjoint(re.findall(r"\w+", " ".join(body[start + 1 : index]))):
                found.append(tuple(body[start : index + 1]))
            start = -1
    return found
