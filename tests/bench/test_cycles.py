"""Cycles by hand: every rule of the model on code whose cycles can be counted from Arm's tables."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.bench import cycles
from edgekit.bench.emulate import emulate
from edgekit.bench.emulate.counter import FlashCache, Profile
from edgekit.bench.emulate.image import build_firmware
from edgekit.bench.thumb import decode
from edgekit.boundary import random_feeds
from edgekit.cores import CORES
from edgekit.export.c import export_c, interface
from edgekit.target import Target, find_target
from tests.bench.firmware import BOARD, FACE, FRAME, convolution, sample, toy

M3, M0 = (find_target(f"{core}:flash=64K,ram=16K") for core in ("cortex-m3", "cortex-m0plus"))


def profiled(assembly: str, board: Target, cache: FlashCache = cycles.FLASH_CACHE) -> Profile:
    body = f'__asm__ volatile("push {{r4-r7}}\\n\\t{assembly}\\n\\tpop {{r4-r7}}" ::: "r0", "r1", "r2", "r3", "cc", "memory");'
    source = FRAME + "int32_t toy_run_static(void) { " + body + " return 0; }"
    result = emulate(toy(source), FACE, board, [sample(1, 2, 3, 4)], flash_cache=cache)
    assert result.profile is not None
    assert int(cycles.estimate(result.profile, board).instructions) == result.instructions[0]
    return result.profile


def cost(assembly: str, board: Target = BOARD) -> tuple[float, float, float]:
    """(low, likely, high) cycles of some instructions, beside 100 turns without them."""
    with_it, without = (
        cycles.estimate(profiled(f"mov r3, sp\\n\\tmovs r2, #100\\n1: {text} subs r2, #1\\n\\tbne 1b", board), board)
        for text in (assembly + "\\n\\t", "")
    )
    return (with_it.low - without.low) / 100, (with_it.likely - without.likely) / 100, (with_it.high - without.high) / 100


@pytest.mark.parametrize(
    ("assembly", "board", "likely"),
    [
        ("adds r0, r0, r1", BOARD, 1),
        ("muls r0, r1", BOARD, 1),
        ("mla r0, r1, r0, r0", BOARD, 1),
        ("mla r0, r1, r0, r0", M3, 2),
        ("smull r0, r1, r4, r5", BOARD, 1),
        ("smull r0, r1, r4, r5", M3, 4),
        ("sdiv r0, r1, r4", BOARD, 7),
        ("ldr r0, [r3]", BOARD, 2),
        ("ldr r0, [r3]\\n\\tldr r1, [r3, #4]\\n\\tldr r4, [r3, #8]", BOARD, 4),  # TRM 3.3.2: normally four
        ("ldr r0, [r3]\\n\\tstr r0, [r3, #4]", BOARD, 3),
        ("mov r4, r3\\n\\tldr r0, [r4]", BOARD, 4),  # an address just made
        ("mov r4, r3\\n\\tnop\\n\\tldr r0, [r4]", BOARD, 4),
        ("str r0, [r3]", BOARD, 1),
        ("str r0, [r3]", M0, 2),
        ("ldr r0, [r3]\\n\\tldr r1, [r3, #4]", M0, 4),
        ("ldrd r0, r1, [r3]", BOARD, 3),
        ("ldm r3, {r0, r1, r4, r5}", BOARD, 5),
        ("ldm r3!, {r0, r1, r4, r5}\\n\\tsubs r3, #16", M0, 6),
        ("b 2f\\n\\tnop\\n2:", BOARD, 3),
        ("b 2f\\n\\tnop\\n2:", M0, 2),
        ("cmp r2, #0\\n\\tbeq 1b", BOARD, 2),  # never taken
        ("smlad r0, r1, r4, r0", BOARD, 1),
        ("vmul.f32 s0, s1, s2", BOARD, 1),
        ("vfma.f32 s0, s1, s2", BOARD, 3),
        ("vdiv.f32 s0, s1, s2", BOARD, 14),
        ("vldr s0, [r3]", BOARD, 2),
    ],
)
def test_published_times(assembly: str, board: Target, likely: float) -> None:
    low, middle, high = cost(assembly, board)
    assert middle == likely
    assert low <= middle <= high


def test_taken_branches_pay_the_refill() -> None:
    run = profiled("movs r2, #100\\n1: subs r2, #1\\n\\tbne 1b", BOARD)
    assert int(run.taken.sum()) == 99 + 2  # and the call and return
    estimate = cycles.estimate(run, BOARD)
    assert estimate.high - estimate.likely == estimate.likely - estimate.low == 101


def test_waits_for_flash() -> None:
    board = replace(BOARD, flash_wait_states=5)
    loop = "movs r2, #{}\\n1: subs r2, #1\\n\\tbne 1b"
    short, long = (cycles.estimate(profiled(loop.format(turns), board), board).waits for turns in (10, 200))
    assert short == long > 0  # the loop stays in the cache
    straight = "nop\\n\\t" * 2000  # 4,000 bytes: more than the cache holds
    once, twice = (
        cycles.estimate(
            profiled(f"movs r2, #{turns}\\n1: {straight} subs r2, #1\\n\\tbeq 2f\\n\\tb.w 1b\\n2:", board), board
        ).waits
        for turns in (1, 2)
    )
    assert twice - once == pytest.approx(5 * 4000 / 8, abs=20)


def test_weights_are_read_once_a_flash_word() -> None:
    words = 64
    source = FRAME + f"static const volatile int32_t table[{words}] __attribute__((aligned(32))) = {{1}};"
    source += (
        f"int32_t toy_run_static(void) {{ int32_t t = 0; for (int i = 0; i < {words}; i++) t += table[i]; return t - 1; }}"
    )
    result = emulate(toy(source), FACE, BOARD, [sample(1, 2, 3, 4)], flash_cache=cycles.FLASH_CACHE)
    assert result.profile is not None
    assert words * 4 // 8 <= result.profile.read_misses <= words * 4 // 8 + 4  # and literals


@pytest.mark.parametrize("core", cycles.TIMINGS)
def test_generated_c_is_profiled_on_every_core_with_timings(core: str) -> None:
    graph = convolution()
    feeds = random_feeds(graph, 1)
    board = replace(find_target(f"{core}:flash=64K,ram=16K"), flash_wait_states=2)
    run = emulate(export_c(graph, "conv"), interface(graph, "conv"), board, feeds, flash_cache=cycles.FLASH_CACHE)
    assert run.profile is not None
    estimate = cycles.estimate(run.profile, board)
    assert estimate.instructions == run.instructions[0]
    assert estimate.instructions < estimate.low <= estimate.likely <= estimate.high < 4 * estimate.instructions
    assert estimate.waits == 2 * (run.profile.fetch_misses + run.profile.read_misses) > 0


def test_measurement_says_what_it_is() -> None:
    graph = convolution()
    feeds = random_feeds(graph, 1)
    files, face = export_c(graph, "conv"), interface(graph, "conv")
    board = find_target("mcu")
    assert board.flash_wait_states == 5
    run = emulate(files, face, board, feeds, flash_cache=cycles.FLASH_CACHE)
    made = cycles.measurement(run.profile, board, run.tool)
    assert made.how == "estimated"
    assert made.value is not None
    assert made.value > run.instructions[0]
    assert made.error is not None
    assert made.error >= 0.19
    assert "5 wait states" in made.note
    assert "never compared with a board" in made.note
    none = cycles.measurement(None, find_target("cortex-m7:flash=64K,ram=16K"), "")
    assert none.how == "unavailable"
    assert "Cortex-M7" in none.note


@pytest.mark.skipif(not shutil.which("arm-none-eabi-objdump"), reason="the disassembler is optional")
@pytest.mark.parametrize("core", [name for name, core in CORES.items() if core.unicorn and core.gcc])
def test_decoder_agrees_with_the_disassembler(core: str, tmp_path: Path) -> None:
    graph = convolution()
    image = build_firmware(export_c(graph, "conv"), interface(graph, "conv"), find_target(f"{core}:flash=64K,ram=16K"))
    (tmp_path / "x.elf").write_bytes(image.elf)
    command = ["arm-none-eabi-objdump", "-d", str(tmp_path / "x.elf")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {"sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15} | {f"r{i}": i for i in range(10)}
    seen = 0
    for first, second, name, operands in re.findall(r"^\s+\w+:\t(\w{4})(?: (\w{4}))?\s*\t(\w+)\S*\t?(.*)$", text, re.MULTILINE):
        made = decode(int(first, 16), int(second or "0", 16))
        registers = [names[r] for r in re.findall(r"\b(r\d|sl|fp|ip|sp|lr|pc)\b", operands.split(";")[0].split("@")[0])]
        seen += 1
        assert made.size == (4 if second else 2), (first, second, name)
        if name in {"ldr", "ldrb", "ldrsb", "ldrh", "ldrsh"} and registers[0] != 15:
            assert made.kind == "load", (first, second, name)
            assert made.sets == registers[0]
            assert made.literal or made.address == set(registers[1:])
        elif name in {"str", "strb", "strh"}:
            assert made.kind == "store"
            assert made.address == set(registers[1:])
        elif name in {"mla", "smlad", "smlabb", "smmulr", "mul", "muls"}:
            assert made.kind in {"mla", "mul"}
            assert made.sets == registers[0]
        elif name in {"add", "adds", "mov", "movs", "lsls", "ssat", "sxtb16", "subs", "movw"}:
            assert made.kind == "alu"
            assert made.sets == registers[0]
        elif name in {"push", "pop", "ldmia", "stmia"}:
            assert made.kind == "multiple"
        elif name in {"ldrd", "strd"}:
            assert made.kind == "dual"
    assert seen > 500


def test_error_is_never_less_than_the_boards_gap() -> None:
    flat = cycles.Cycles(100, 100, 100, 0, 60, {})
    wide = cycles.Cycles(50, 100, 200, 0, 60, {})
    assert 0.18 < flat.error < 0.21
    assert wide.error == 1.0
    assert np.isclose(max(published / model - 1 for published, models in cycles.BOARD for model in models), flat.error)
