"""What is believed before any row is heard: sizes of coefficients, what cores can do, and how far either may be off.

GUESS and PIPES are orders of size. The widths were chosen by the evidence of the rows (`benchmarks.estimates.widths`): how
probable the published times are when the coefficients are drawn from the priors, which punishes both priors that are too
narrow and those that allow anything. The errors of rows left out played no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Cycles of one unit, as a first guess: plain integer core, DSP (two products an instruction), Helium and its like (8 to 16),
# Arm's 64-bit vector units. Only their order of size matters.
GUESS: Mapping[str, tuple[float, float, float, float]] = {
    "first": (12.0, 5.0, 0.6, 0.5), "conv": (10.0, 3.0, 0.35, 0.25), "pointwise": (10.0, 3.0, 0.45, 0.25),
    "depthwise": (20.0, 8.0, 1.2, 1.0), "dense": (8.0, 3.0, 0.4, 0.5), "taps": (40.0, 40.0, 40.0, 1.0),
    "idle": (0.1, 0.1, 0.3, 0.1), "outputs": (60.0, 25.0, 4.0, 2.0), "moved": (30.0, 15.0, 5.0, 2.0),
    "weights": (0.5, 0.5, 0.5, 0.5), "ops": (3000.0, 3000.0, 3000.0, 5000.0),
}  # fmt: skip
COLUMN = {"plain": 0, "portable": 0, "dsp": 1, "mve": 2, "pie": 2, "dot": 3, "neon": 3}
# Instruction sets that a core brings for networks: they decide the proportions of the rates.
ISA = {
    "m0": "plain", "m3": "plain", "m4": "dsp", "m7": "dsp", "m33": "dsp", "m55": "mve", "m85": "mve", "lx6": "plain",
    "lx7": "pie", "rv32": "plain", "rv32-pie": "pie", "arm11": "plain", "a76": "dot", "a77": "dot", "a78": "dot",
    "rxv2": "dsp", "a55": "dot", "x1": "dot", "x3": "dot", "x4": "dot",
}  # fmt: skip
BITS_32 = ("a7", "a9")  # vector units without the kernels that are written for 64-bit Arm
MATRIX = ("conv", "pointwise", "dense")
# float32 multiply-accumulates a cycle of a core's vector unit, in units of Cortex-A72's; what it makes of them is fitted.
# From memory of the cores' descriptions, not checked: a prior's mean only, which the rows correct.
PIPES = {
    "a7": 0.25, "arm11": 0.125, "a53": 0.5, "a55": 0.5, "a75": 1.0, "kryo": 1.0, "a76": 2.0, "a77": 2.0, "a78": 2.0, "x1": 4.0,
    "x3": 4.0, "x4": 4.0, "apple-a7": 2.0, "apple-a12": 3.0,
}  # fmt: skip
SHARE = 0.5
THREADS = 0.75  # speed grows with threads to this power, before the rows are heard
# Of what a core's speed does to arithmetic, this power is taken for fetching weights and for calling operators.
SCALAR = 0.5
SERIAL = ("weights", "ops")  # the kinds that neither vectors nor threads make faster


@dataclass(frozen=True)
class Settings:
    """Log units. widths: of the priors, by what they are about (see `benchmarks.estimates.fit.observation`). noises: spread of
    a row, by its family: of instructions "counted" on an emulated core (what the kinds of work cannot express), of tables
    that many people filled in, of others ("published")."""

    widths: Mapping[str, float]
    noises: Mapping[str, float]


SETTINGS: Mapping[str, Settings] = {
    "mcu": Settings(
        {"rate": 1.0, "matrix": 0.2, "isa": 0.3, "family": 0.3, "kernels": 0.15, "level": 0.4, "core": 0.2, "device": 0.05,
         "place": 0.05, "version": 0.3, "threads": 0.15, "table": 0.2, "bits": 0.3, "emulated": 1.0},
        {"counted": 0.04, "x-cube-ai": 0.08, "published": 0.1},
    ),
    "cpu": Settings(
        {"rate": 1.0, "matrix": 0.3, "isa": 0.4, "family": 0.3, "kernels": 0.3, "level": 0.2, "core": 0.4, "device": 0.05,
         "place": 0.1, "version": 0.1, "threads": 0.15, "table": 0.3, "bits": 0.2, "emulated": 1.0},
        {"ncnn": 0.15, "paddle": 0.05, "published": 0.05},
    ),
}  # fmt: skip
