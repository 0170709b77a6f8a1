"""Cycles of a run, estimated: every executed instruction at its published time, and the waits for flash.

The times are Arm's tables for a memory without wait states: Cortex-M4 TRM (100166_0001) 3.3.1 and Cortex-M3 TRM (DDI 0337I)
3.3.1 with the load/store rules of 3.3.2; Cortex-M0+ TRM (DDI 0484C) 3.3. Where a table gives a range (branch refill,
division) or leaves an option, there is a low, a likely and a high figure. Arm publishes no such table for the Cortex-M7,
M33 and M55: no cycles there. Waits are counted by running the flash's buffers (`FLASH_CACHE`) on the run's own accesses;
RAM has none. Instructions that an IT block skips count as if they ran.

The model was never compared with a board on code of edgekit's. `BOARD` is what there is: published cycles of TFLM with
CMSIS-NN, beside what the model gives for plain C of the same networks (edgekit's own, gcc -O2 without DSP instructions).
Boards take a tenth more cycles an instruction than the model, which knows no contention between code and data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.bench.emulate.counter import FlashCache, Profile
from edgekit.bench.thumb import PC, Instruction, decode
from edgekit.measure import UNITS, Measurement, unavailable
from edgekit.target import Target

# Assumed for every board with wait states: the size of STM32L4's ART accelerator (1 KiB of code, 256 B of data), flash words of
# 64 bits, and prefetch off as after reset.
FLASH_CACHE = FlashCache(instruction_lines=32, data_lines=8, line=32, word=8)
# Cycles an instruction, kws, ResNet-8 and ad: published (MLPerf Tiny, NUCLEO-L4R5ZI at 120 MHz: 13.3, 48.9 and 1.07 million
# cycles for 7.70, 29.9 and 0.583 million instructions), and the model's for plain C by zig and by gcc.
BOARD = ((13.3 / 7.70, (1.50, 1.57)), (48.9 / 29.9, (1.38, 1.48)), (1.07 / 0.583, (1.54, 1.66)))


@dataclass(frozen=True)
class Timing:
    """Cycles of each class of instruction, each (low, likely, high); one where it is not named; "dual" and "multiple" take as
    many more as they move words. refill: added to whatever jumps; paired: a load or store after a load takes one less;
    stall: an address made by the instruction before costs one more."""

    times: Mapping[str, tuple[float, float, float]]
    refill: tuple[float, float, float]
    paired: bool
    stall: bool


def _same(value: float) -> tuple[float, float, float]:
    return (value, value, value)


_M4 = {
    "mla": _same(1),
    "mull": _same(1),
    "mlal": _same(1),
    "div": (2.0, 7.0, 12.0),
    "load": _same(2),
    "store": _same(1),
    "store_offset": (1.0, 2.0, 2.0),
    "multiple": _same(1),
    "table": _same(3),
    "it": (0.0, 1.0, 1.0),
    "fpu_mac": _same(3),
    "fpu_div": _same(14),
    "fpu_move": _same(1),
    "literal": (0.0, 0.5, 1.0),
}
TIMINGS: dict[str, Timing] = {
    "cortex-m0plus": Timing(
        {"load": _same(2), "store": _same(2), "store_offset": _same(2), "multiple": _same(1), "call": _same(2)},
        (1.0, 1.0, 1.0),
        False,
        False,
    ),
    "cortex-m3": Timing(
        {**_M4, "mla": _same(2), "mull": (3.0, 4.0, 5.0), "mlal": (4.0, 5.0, 7.0)}, (1.0, 2.0, 3.0), True, True
    ),
    "cortex-m4": Timing(_M4, (1.0, 2.0, 3.0), True, True),
}


@dataclass(frozen=True)
class Cycles:
    """An estimate for one run. low, high: with every open figure at its best and worst; waits: for flash, within `likely`."""

    low: float
    likely: float
    high: float
    waits: float
    instructions: int
    mix: dict[str, int]

    @property
    def error(self) -> float:
        """Relative: the largest of the distances to low and high and of a board's distance to the model in `BOARD`."""
        board = max(published / model - 1 for published, models in BOARD for model in models)
        return max((self.high - self.likely) / self.likely, (self.likely - self.low) / self.likely, board)


def why_not(target: Target) -> str:
    """Why there is no estimate for `target`; "" when there is one."""
    return "" if target.core in TIMINGS else f"Arm publishes no instruction timings for {target.cpu.title}"


def estimate(profile: Profile, target: Target) -> Cycles:
    """Cycles of the run that `profile` is of. Raises KeyError for a core without published timings: ask `why_not` first."""
    timing, wait_states = TIMINGS[target.core], target.flash_wait_states or 0
    sums, mix, before = [0.0, 0.0, 0.0], dict[str, int](), None
    index, count = 0, len(profile.code)
    while index < count:
        times = int(profile.executed[index])
        if not times:
            index, before = index + 1, None
            continue
        following = int(profile.code[index + 1]) if index + 1 < count else 0
        now = decode(int(profile.code[index]), following)
        taken = min(times, int(profile.taken[index])) if now.jumps else 0
        for case, cost in enumerate(_cost(timing, now, before)):
            sums[case] += times * cost + taken * timing.refill[case]
        mix[now.kind] = mix.get(now.kind, 0) + times
        index, before = index + now.size // 2, now
    waits = wait_states * (profile.fetch_misses + profile.read_misses)
    return Cycles(sums[0] + waits, sums[1] + waits, sums[2] + waits, waits, sum(mix.values()), mix)


def _cost(timing: Timing, now: Instruction, before: Instruction | None) -> tuple[float, float, float]:
    """Cycles of an instruction after `before`, the refill of a jump apart."""
    kind = "store_offset" if now.kind == "store" and now.offset else now.kind
    low, likely, high = timing.times.get("multiple" if kind == "dual" else kind, (1.0, 1.0, 1.0))
    if kind in {"dual", "multiple"}:
        low, likely, high = low + now.words, likely + now.words, high + now.words
    if kind == "load" and now.literal:
        more = timing.times.get("literal", (0.0, 0.0, 0.0))
        low, likely, high = low + more[0], likely + more[1], high + more[2]
    if before is None:
        return low, likely, high
    fed = before.sets >= 0 and before.sets in now.address
    single = kind in {"load", "store", "store_offset"}
    if timing.paired and single and before.kind == "load" and not fed and likely > 1:
        low, likely, high = low - (low > 1), likely - 1, high - 1
    if timing.stall and fed and before.kind != "load" and before.sets != PC:
        likely, high = likely + 1, high + 1
    return low, likely, high


def measurement(profile: Profile | None, target: Target, tool: str) -> Measurement:
    """The metric "cycles" of a profiled run."""
    if profile is None or why_not(target):
        return unavailable(
            "cycles", why_not(target) or "no profile: the emulator did not repeat the run with memory accesses watched"
        )
    cycles = estimate(profile, target)
    return Measurement(
        "cycles", round(cycles.likely), UNITS["cycles"], "estimated", cycles.error, describe(cycles, target), tool
    )


def describe(cycles: Cycles, target: Target) -> str:
    """The model and its assumptions in one line."""
    gaps = [100 * (published / model - 1) for published, models in BOARD for model in models]
    flash = "flash without wait states"
    if target.flash_wait_states:
        flash = f"{target.flash_wait_states} wait states a flash word not in STM32's ART caches: {cycles.waits:,.0f}"
    else:
        flash += " (the profile names none)" if target.flash_wait_states is None else ""
    rate = cycles.likely / cycles.instructions
    return (
        f"{rate:.2f} an instruction: Arm's timings of {target.cpu.title}, {cycles.low:,.0f} to {cycles.high:,.0f} by what they "
        f"leave open; {flash}; never compared with a board on this code; "
        f"TFLM's takes {min(gaps):.0f} to {max(gaps):.0f} % more on one than the model gives like networks"
    )
