"""Small firmware for the emulators' tests: hand-counted C with the face of a generated network, and a small network."""

from __future__ import annotations

import numpy as np

from edgekit.export.c.interface import Interface, Port
from edgekit.graph import Graph, Node, Quant, Tensor, build, const
from edgekit.target import find_target

BOARD = find_target("cortex-m4:flash=64K,ram=16K")
FACE = Interface(
    name="toy",
    inputs=(Port("x", "input", "toy_input", "TOY_INPUT", "int8", (1, 4)),),
    outputs=(Port("y", "output", "toy_output", "TOY_OUTPUT", "int8", (1, 4)),),
    arena=8,
)
HEADER = b"""#include <stdint.h>
typedef struct { int8_t arena[8]; } toy_state;
int8_t *toy_input(void); int8_t *toy_output(void); int32_t toy_run_static(void);
"""
FRAME = """#include "toy.h"
static toy_state s;
int8_t *toy_input(void) { return s.arena; }
int8_t *toy_output(void) { return s.arena + 4; }
"""
# movs + bx = 2, and 5 instructions a turn, one of them skipped inside its IT block but issued all the same.
LOOP = (
    FRAME
    + """
static const volatile int8_t toy_weights[4] __attribute__((aligned(4))) = {1, 2, 3, 4};
__attribute__((naked, noinline)) static void loop(void) {
    __asm__ volatile("movs r0, #100\\n1:"
        "subs r0, #1\\n cmp r0, #50\\n it eq\\n addeq.w r1, r1, #1\\n cmp r0, #0\\n bne 1b\\n bx lr");
}
int32_t toy_run_static(void) {
    for (int i = 0; i < 4; i++) s.arena[4 + i] = (int8_t)(s.arena[i] * toy_weights[i]);
    loop();
    return 0;
}
"""
)


def toy(source: str) -> dict[str, bytes]:
    return {"toy.h": HEADER, "toy.c": source.encode()}


def sample(*values: int) -> dict[str, np.ndarray]:
    return {"x": np.array([values], np.int8)}


def convolution() -> Graph:
    """int8: 5x5x3 image, 3x3 convolution to 4 channels (RELU), dense to 2 scores."""
    rng = np.random.default_rng(1)
    scales, dense = np.array([0.01, 0.02, 0.005, 0.03], np.float32), np.array([0.02, 0.01], np.float32)

    def bias(values: np.ndarray, scale: np.ndarray, name: str) -> Tensor:
        return const(name, values.astype(np.int32), Quant(scale, np.zeros(scale.size, np.int64), 0, None, "int32"))

    tensors = [
        Tensor("x", (1, 5, 5, 3), "int8", None, Quant.per_tensor(0.05, -3)),
        const("w", rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), Quant.per_channel(scales, 0)),
        bias(rng.integers(-900, 900, 4), scales * np.float32(0.05), "b"),
        Tensor("c", (1, 5, 5, 4), "int8", None, Quant.per_tensor(0.1, -128)),
        Tensor("f", (1, 100), "int8", None, Quant.per_tensor(0.1, -128)),
        const("w2", rng.integers(-127, 128, (2, 100)).astype(np.int8), Quant.per_channel(dense, 0)),
        bias(rng.integers(-900, 900, 2), dense * np.float32(0.1), "b2"),
        Tensor("y", (1, 2), "int8", None, Quant.per_tensor(0.5, 7)),
    ]
    nodes = [
        Node("CONV_2D", ("x", "w", "b"), ("c",), {"pad": (1, 1, 1, 1), "activation": "RELU"}),
        Node("RESHAPE", ("c",), ("f",), {"shape": (1, 100)}),
        Node("FULLY_CONNECTED", ("f", "w2", "b2"), ("y",)),
    ]
    return build("conv", ["x"], ["y"], nodes, tensors)
