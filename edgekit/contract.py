"""The input contract as plain JSON data, for the metadata of the formats that cannot spell it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from edgekit.errors import BadModel
from edgekit.graph import InputContract, InputSpec, OutputSpec


def to_json(contract: InputContract) -> dict[str, Any]:
    """Only what differs from the defaults; {} for an empty contract."""
    inputs = {name: _plain(spec) for name, spec in contract.inputs.items() if _plain(spec)}
    outputs = {name: _plain(spec) for name, spec in contract.outputs.items() if _plain(spec)}
    return ({"inputs": inputs} if inputs else {}) | ({"outputs": outputs} if outputs else {})


def _plain(spec: InputSpec | OutputSpec) -> dict[str, Any]:
    """The fields that are not at their default."""
    default = type(spec)()
    return {f.name: getattr(spec, f.name) for f in fields(spec) if getattr(spec, f.name) != getattr(default, f.name)}


def from_json(data: Mapping[str, Any], *, where: str = "the file", newer: bool = False) -> InputContract:
    """The contract that `to_json` wrote. Raises BadModel, saying where it stands, when it is not one.

    newer: leave fields out that this version does not know (a later edgekit may have written them) instead of refusing.
    """
    try:
        return InputContract(
            {str(name): _spec(InputSpec, spec, newer) for name, spec in data.get("inputs", {}).items()},
            {str(name): _spec(OutputSpec, spec, newer) for name, spec in data.get("outputs", {}).items()},
        )
    except (TypeError, AttributeError, ValueError) as error:
        raise BadModel(f"the contract in {where} is damaged: {error}", "correct it, or export the model again") from error


def about(spec: InputSpec) -> list[str]:
    """What a person must know to feed an input, a line each: pictures and sound."""
    from edgekit import image

    lines = image.about(spec)
    if spec.audio:
        lines += ["int16 PCM, mono, through the front-end", *_wrapped(spec.audio)]
    return lines


def _wrapped(text: str, width: int = 90) -> list[str]:
    """A row of settings in lines, broken behind commas."""
    lines = [""]
    for part in text.split(","):
        if lines[-1] and len(lines[-1]) + len(part) >= width:
            lines.append("")
        lines[-1] += f"{part},"
    lines[-1] = lines[-1].removesuffix(",")
    return lines


_Spec = TypeVar("_Spec", InputSpec, OutputSpec)


def _spec(kind: type[_Spec], told: Mapping[str, Any], newer: bool) -> _Spec:
    """A spec of its fields as JSON has them, lists as tuples. Raises TypeError or ValueError."""
    known = {f.name for f in fields(kind)}
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    for key, value in given.items():
        if key in CHECKS and value is not None and not CHECKS[key](value):
            raise ValueError(f"{key}={value!r}")
    return kind(**{key: value for key, value in given.items() if key in known or not newer})


def _numbers(value: Any) -> bool:
    return isinstance(value, tuple) and all(_number(v) for v in value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# field -> what its value must be (or None).
CHECKS: dict[str, Callable[[Any], bool]] = {
    "kind": lambda v: isinstance(v, str),
    "layout": lambda v: isinstance(v, str),
    "perm": lambda v: isinstance(v, tuple) and all(isinstance(a, int) for a in v) and sorted(v) == list(range(len(v))),
    "range": lambda v: _numbers(v) and len(v) == 2 and v[0] <= v[1],
    "mean": _numbers,
    "std": _numbers,
    "scale": lambda v: _number(v) and v > 0,
    "zero_point": lambda v: isinstance(v, int),
    "audio": lambda v: isinstance(v, str),
    "image": lambda v: isinstance(v, str),
    "labels": lambda v: isinstance(v, tuple) and all(isinstance(label, str) for label in v),
}
