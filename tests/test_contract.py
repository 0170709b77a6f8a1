"""The input contract as JSON."""

from __future__ import annotations

import json

import pytest

from edgekit import contract
from edgekit.errors import BadModel
from edgekit.graph import InputContract, InputSpec, OutputSpec


def test_there_and_back() -> None:
    whole = InputContract(
        {"a": InputSpec("image", "NCHW", (0, 2, 3, 1), (0.0, 1.0), (0.1,), (0.2,), 0.5, -3), "b": InputSpec(kind="ids")},
        {"y": OutputSpec(("ja", "nö"), (0, 3, 1, 2))},
    )
    assert contract.from_json(json.loads(json.dumps(contract.to_json(whole)))) == whole
    assert contract.to_json(InputContract({"a": InputSpec()})) == {}
    assert contract.from_json({}) == InputContract()


@pytest.mark.parametrize("damaged", [{"inputs": 3}, {"inputs": {"a": 3}}, {"outputs": {"a": {"color": 1}}}])
def test_damage_is_named(damaged: dict[str, object]) -> None:
    with pytest.raises(BadModel, match="contract"):
        contract.from_json(damaged)
