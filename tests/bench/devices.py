"""What tests of devices share: a network and its float twin, the profile of this machine, quick settings."""

from __future__ import annotations

import platform

import numpy as np

from edgekit.bench.on_device import Settings
from edgekit.bench.timing import Policy
from edgekit.graph import Graph, Node, Quant, Tensor, build, const
from edgekit.target import Target

QUICK = Policy(runs=6, seconds=0.02, warm_s=0.01, launches=2, turns=3)
LONG = Policy(runs=6, seconds=60.0, warm_s=0.01, launches=1, at_most=10**7)
MANY = 20_000  # inputs of a network that takes long enough for LONG to last


def dense(dtype: str = "int8", inputs: int = 6) -> Graph:
    """That many inputs to three scores."""
    rng = np.random.default_rng(3)
    weights = rng.integers(-127, 128, (3, inputs)).astype(np.int8)
    scales = np.array([0.01, 0.02, 0.005], np.float32)
    nodes = [Node("FULLY_CONNECTED", ("x", "w", "b"), ("y",))]
    if dtype == "float32":
        real = (weights * scales[:, None]).astype(np.float32)
        tensors = [
            Tensor("x", (1, inputs), dtype),
            const("w", real),
            const("b", np.ones(3, np.float32)),
            Tensor("y", (1, 3), dtype),
        ]
        return build("dense", ["x"], ["y"], nodes, tensors)
    bias = Quant(scales * np.float32(0.05), np.zeros(3, np.int64), 0, None, "int32")
    tensors = [
        Tensor("x", (1, inputs), "int8", None, Quant.per_tensor(0.05, -3)),
        const("w", weights, Quant.per_channel(scales, 0)),
        const("b", np.array([100, -200, 300], np.int32), bias),
        Tensor("y", (1, 3), "int8", None, Quant.per_tensor(0.1, 5)),
    ]
    return build("dense", ["x"], ["y"], nodes, tensors)


def this_machine() -> Target:
    """A profile that fits whatever runs the tests."""
    return Target("this-machine", "a machine", "sbc", platform.machine(), engines=("c", "tflite"), schemes=("int8", "float32"))


def quick(*engines: str, policy: Policy = QUICK) -> Settings:
    return Settings(policy=policy, engines=engines)
