"""The input contract as JSON."""

from __future__ import annotations

import json

import pytest

from edgekit import contract
from edgekit.errors import BadModel
from edgekit.graph import InputContract, InputSpec, Node, OutputSpec, Tensor, build


def test_there_and_back() -> None:
    whole = InputContract(
        {"a": InputSpec("image", "NCHW", (0, 2, 3, 1), (0.0, 1.0), (0.1,), (0.2,), 0.5, -3), "b": InputSpec(kind="ids")},
        {"y": OutputSpec(("ja", "nö"), (0, 3, 1, 2))},
    )
    assert contract.from_json(json.loads(json.dumps(contract.to_json(whole)))) == whole
    assert contract.to_json(InputContract({"a": InputSpec()})) == {}
    assert contract.from_json({}) == InputContract()


@pytest.mark.parametrize(
    "damaged",
    [
        {"inputs": 3},
        {"inputs": {"a": 3}},
        {"outputs": {"a": {"color": 1}}},
        {"inputs": {"a": {"perm": [0, 2]}}},
        {"inputs": {"a": {"perm": "ab"}}},
        {"inputs": {"a": {"range": [1]}}},
        {"inputs": {"a": {"range": [1, 0]}}},
        {"inputs": {"a": {"mean": 0.5}}},
        {"inputs": {"a": {"scale": "1"}}},
        {"inputs": {"a": {"scale": 0}}},
        {"outputs": {"a": {"labels": "yes"}}},
    ],
)
def test_damage_is_named(damaged: dict[str, object]) -> None:
    with pytest.raises(BadModel, match="contract"):
        contract.from_json(damaged)


def test_fields_of_a_later_version() -> None:
    told = {"inputs": {"a": {"kind": "image", "colour": "BGR"}}}
    assert contract.from_json(told, newer=True) == InputContract({"a": InputSpec(kind="image")})
    with pytest.raises(BadModel, match=r"the contract in net\.py is damaged.*colour"):
        contract.from_json(told, where="net.py")


def test_a_perm_must_fit_its_input() -> None:
    tensors = [Tensor("x", (1, 2, 3), "float32"), Tensor("y", (1, 2, 3), "float32")]
    with pytest.raises(BadModel, match=r"perm \(0, 2, 3, 1\) is no order of the axes of 'x'"):
        build(
            "g",
            ["x"],
            ["y"],
            [Node("RELU", ("x",), ("y",))],
            tensors,
            contract=InputContract({"x": InputSpec(perm=(0, 2, 3, 1))}),
        )
