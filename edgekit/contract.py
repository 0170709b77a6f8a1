"""The input contract as plain JSON data, for the metadata of the formats that cannot spell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from edgekit.errors import BadModel
from edgekit.graph import InputContract, InputSpec, OutputSpec


def to_json(contract: InputContract) -> dict[str, Any]:
    """Only what differs from the defaults; {} for an empty contract."""
    inputs = {name: plain(spec) for name, spec in contract.inputs.items() if plain(spec)}
    outputs = {name: plain(spec) for name, spec in contract.outputs.items() if plain(spec)}
    return ({"inputs": inputs} if inputs else {}) | ({"outputs": outputs} if outputs else {})


def plain(spec: InputSpec | OutputSpec) -> dict[str, Any]:
    """The fields that are not at their default."""
    default = type(spec)()
    return {f.name: getattr(spec, f.name) for f in fields(spec) if getattr(spec, f.name) != getattr(default, f.name)}


def from_json(data: Mapping[str, Any]) -> InputContract:
    """The contract that `to_json` wrote. Raises BadModel when it is not one."""
    try:
        return InputContract(
            {str(name): InputSpec(**frozen(spec)) for name, spec in data.get("inputs", {}).items()},
            {str(name): OutputSpec(**frozen(spec)) for name, spec in data.get("outputs", {}).items()},
        )
    except (TypeError, AttributeError) as error:
        raise BadModel(f"the file's edgekit contract is damaged: {error}", "export the model again") from error


def frozen(spec: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in spec.items()}
