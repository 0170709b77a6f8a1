"""The emulator against hand-counted firmware: instructions, stack, sizes, limits, faults, printing."""

from __future__ import annotations

import ctypes
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.elf import parse
from edgekit.bench.emulate import Image, build_firmware, emulate, run_elf
from edgekit.bench.emulate.arch import breakpoint_text
from edgekit.bench.emulate.machine import Machine, Region
from edgekit.bench.toolchain import Firmware
from edgekit.boundary import random_feeds
from edgekit.cores import CORES
from edgekit.errors import BadData, DoesNotFit, EdgekitError, MissingTool, Unsupported
from edgekit.export.c import export_c, interface
from edgekit.export.project.firmware import linker_script, startup
from edgekit.target import Target, find_target
from tests.bench.firmware import BOARD, FACE, FRAME, LOOP, convolution, sample, toy


def bare(source: str, board: Target = BOARD) -> Machine:
    """A machine with a firmware of our own main()."""
    flash, ram = board.memory
    with Firmware({"start.c": startup(board.cpu), "main.c": "#include <stdint.h>\n" + source}, board.cpu) as firmware:
        elf = parse(firmware.link(linker_script(0x08000000, flash, 0x20000000, ram)))
    return Machine(elf, board.cpu, [Region("flash", 0x08000000, flash, False), Region("ram", 0x20000000, ram, True)])


def test_outputs_and_exact_instructions() -> None:
    result = emulate(toy(LOOP), FACE, BOARD, [sample(1, 2, 3, 4), sample(-1, 0, 5, 7)])
    assert [r["y"].tolist() for r in result.outputs] == [[[1, 4, 9, 16]], [[-1, 0, 15, 28]]]
    assert result.instructions[0] == result.instructions[1]
    assert result.by_function["loop"] == 2 * (2 + 100 * 6)
    assert result.init_instructions > 0
    assert result.mean_instructions == result.instructions[0]
    assert "zig cc" in result.tool
    assert "unicorn" in result.tool


def test_instruction_totals_are_those_of_the_functions() -> None:
    result = emulate(toy(LOOP), FACE, BOARD, [sample(1, 2, 3, 4)] * 3)
    # Besides runs and start-up only the harness's own breakpoints and its jump between runs are issued.
    extra = sum(result.by_function.values()) - sum(result.instructions) - result.init_instructions
    assert extra == 2 + 1 + 3 * 3


@pytest.mark.parametrize("core", [name for name, core in CORES.items() if core.unicorn])
def test_generated_c_on_every_core_is_the_reference(core: str) -> None:
    graph = convolution()
    feeds = random_feeds(graph, 5)
    result = emulate(export_c(graph, "conv"), interface(graph, "conv"), find_target(f"{core}:flash=64K,ram=16K"), feeds)
    for feed, made in zip(feeds, result.outputs, strict=True):
        np.testing.assert_array_equal(made["y"], reference.run(graph, feed)["y"])
    assert result.flash_parts["weights"] >= 4 * 27 + 200
    assert result.ram_parts["static"] == 0
    assert result.arena == interface(graph, "conv").arena


def test_deterministic() -> None:
    first, second = (emulate(toy(LOOP), FACE, BOARD, [sample(1, 2, 3, 4)]) for _ in range(2))
    assert (first.instructions, first.flash_parts, first.ram_parts, first.by_function) == (
        second.instructions,
        second.flash_parts,
        second.ram_parts,
        second.by_function,
    )


@pytest.mark.parametrize("core", [name for name, core in CORES.items() if core.unicorn])
def test_count_equals_single_stepping(core: str) -> None:
    """The block hook against an independent count: one hook call an instruction, on code without IT blocks."""
    text = """
    static volatile uint32_t sink;
    int main(void) {
        uint32_t a = 1;
        for (uint32_t i = 0; i < 500; i++) { a = a * 1664525u + 1013904223u; if (a & 0x100u) sink = a; else sink += 3u; }
        __asm__ volatile("BREAKPOINT");
        return 0;
    }""".replace("BREAKPOINT", breakpoint_text(CORES[core].family, 1))
    fast, slow = (bare(text, find_target(f"{core}:flash=64K,ram=16K")) for _ in range(2))
    assert fast.run(10**6) == 1
    uc, steps, skipped = slow._uc, 0, 0

    def step(engine: object, address: int, size: int, _: object) -> None:
        nonlocal steps
        steps += 1

    import unicorn

    uc.hook_add(unicorn.UC_HOOK_CODE, step)
    assert slow.run(10**6) == 1
    skipped = fast.instructions - steps
    assert fast.instructions > 3000
    assert slow.instructions == fast.instructions
    assert 0 <= skipped <= 1000  # what an IT block skips the code hook does not see


def test_flash_and_ram_are_the_images() -> None:
    image = build_firmware(toy(LOOP), FACE, BOARD)
    assert isinstance(image, Image)
    elf = parse(image.elf)
    assert sum(image.flash_parts.values()) == image.flash
    assert image.flash_parts["vectors"] == 64
    assert image.flash_parts["weights"] == 4
    assert min(image.flash_parts.values()) >= 0
    assert image.static == 8
    end = max(s.load + len(s.data) for s in elf.segments if s.data)
    assert end - elf.symbol("vectors").address == image.flash
    assert end % 4096 in {0, *range(4096 - 32, 4096)}  # flush against the unmapped page after it
    result = emulate(toy(LOOP), FACE, BOARD, [sample(1, 2, 3, 4)])
    assert result.ram == sum(result.ram_parts.values()) == 8 + result.stack


def test_initialised_data_counts_in_flash_and_ram() -> None:
    plain = emulate(toy(LOOP), FACE, BOARD, [sample(1, 2, 3, 4)])
    with_data = LOOP.replace(
        "    loop();", "    static volatile int32_t start[25] = {7}; s.arena[4] = (int8_t)start[0]++; loop();"
    )
    result = emulate(toy(with_data), FACE, BOARD, [sample(1, 2, 3, 4)] * 2)
    assert [r["y"][0, 0] for r in result.outputs] == [7, 8]
    assert result.flash_parts["data"] == plain.flash_parts["data"] + 100
    assert result.ram_parts["static"] == plain.ram_parts["static"] + 100


@pytest.mark.parametrize("depth", [1, 10, 40])
def test_stack_high_water(depth: int) -> None:
    source = (
        FRAME
        + """
__attribute__((naked, noinline)) static void dive(int n) {
    __asm__ volatile("push {r4, r5, r6, lr}\\n subs r0, #1\\n beq 1f\\n bl dive\\n1: pop {r4, r5, r6, pc}");
}
int32_t toy_run_static(void) { dive(DEPTH); return 0; }
"""
    )
    deep = emulate(toy(source.replace("DEPTH", str(depth))), FACE, BOARD, [sample(1, 2, 3, 4)])
    shallow = emulate(toy(source.replace("DEPTH", "1")), FACE, BOARD, [sample(1, 2, 3, 4)])
    assert deep.stack - shallow.stack == 16 * (depth - 1)
    assert deep.stack >= 16 * depth


def test_stack_overflow_is_found() -> None:
    body = "volatile uint8_t big[15000]; for (int i = 0; i < 15000; i += 16) big[i] = 1; return big[0] - 1;"
    source = FRAME + "int32_t toy_run_static(void) { " + body + " }"
    assert emulate(toy(source), FACE, BOARD, [sample(1, 2, 3, 4)]).stack > 15000
    with pytest.raises(DoesNotFit, match="stack"):
        emulate(toy(source), FACE, replace(BOARD, ram=12 * 1024), [sample(1, 2, 3, 4)])
    with pytest.raises(DoesNotFit, match="stack"):  # within the last page: seen after the run
        emulate(toy(source), FACE, replace(BOARD, ram=15000), [sample(1, 2, 3, 4)])


def test_too_large_for_flash_and_ram() -> None:
    source = LOOP.replace("toy_weights[4]", "toy_weights[70000]")
    with pytest.raises(DoesNotFit, match=r"flash by 4,\d\d\d bytes"):
        emulate(toy(source.replace("toy_weights[i]", "toy_weights[s.arena[i] + 20000 * i]")), FACE, BOARD, [])
    source = LOOP.replace("static toy_state s;", "static toy_state s; volatile int8_t more[17000];")
    source = source.replace("loop();", "loop(); more[s.arena[0]] = 1;")
    with pytest.raises(DoesNotFit, match=r"ram by 6\d\d bytes"):
        emulate(toy(source), FACE, BOARD, [])


@pytest.mark.parametrize(
    ("access", "named"),
    [
        ("s.arena[4] = *((volatile const int8_t *)toy_weights + 32 + 4)", "toy_weights"),
        ("*((volatile int8_t *)&s + 32 + 8) = 1", "past the end of s"),
        ("*(volatile int8_t *)0 = 1", "0x00000000"),
        ("*(volatile int8_t *)(uintptr_t)toy_weights = 1", "read-only"),
        ("((void (*)(void))0x40000001)()", "jump"),
        ('__asm__ volatile("udf #0")', "undefined"),
    ],
)
def test_faults_name_the_place(access: str, named: str) -> None:
    source = LOOP.replace("    loop();", f"    {access};")
    with pytest.raises(EdgekitError, match=r"crashed in (., called from )?toy_run_static") as caught:
        emulate(toy(source), FACE, BOARD, [sample(1, 2, 3, 4)])
    assert named in str(caught.value)


def test_unaligned_access_faults_on_armv6m_only() -> None:
    store = '__asm__ volatile("strh %1, [%0]" : : "l"(s.arena + 5), "l"(1) : "memory");'  # C would store two bytes
    source = FRAME + "int32_t toy_run_static(void) { " + store + " return 0; }"
    emulate(toy(source), FACE, BOARD, [sample(1, 2, 3, 4)])
    with pytest.raises(EdgekitError, match=r"toy_run_static.*unaligned access to 0x2000[0-9a-f]{4}, s\+0x5"):
        emulate(toy(source), FACE, find_target("cortex-m0plus:flash=64K,ram=16K"), [sample(1, 2, 3, 4)])


def test_hang_is_stopped() -> None:
    source = LOOP.replace("loop();", "for (;;) loop();")
    with pytest.raises(EdgekitError, match="did not finish within 50,000 instructions; it was in loop"):
        emulate(toy(source), FACE, BOARD, [sample(1, 2, 3, 4)], budget=50_000)


def test_wrong_data_and_failing_model() -> None:
    with pytest.raises(BadData, match="no data for input 'x'"):
        emulate(toy(LOOP), FACE, BOARD, [{"z": np.zeros((1, 4), np.int8)}])
    with pytest.raises(BadData, match="int8"):
        emulate(toy(LOOP), FACE, BOARD, [{"x": np.zeros((1, 4), np.float32)}])
    with pytest.raises(EdgekitError, match="returned 3"):
        emulate(toy(LOOP.replace("return 0;", "return 3;")), FACE, BOARD, [sample(1, 2, 3, 4)])
    with pytest.raises(EdgekitError, match=r"toy\.c:.*error"):
        emulate(toy(LOOP + "int oops("), FACE, BOARD, [])


def test_a_core_without_emulator_says_so() -> None:
    with pytest.raises(Unsupported, match="Cortex-M55"):
        emulate(toy(LOOP), FACE, find_target("cortex-m55:flash=64K,ram=16K"), [])


def test_float_is_done_by_the_fpu_without_contraction() -> None:
    machine = bare(
        "volatile float a = 1.0000001f, b = 1.0000001f, c = -1.0f, y;"
        'int main(void) { y = a * b + c; __asm__ volatile("bkpt 1"); return 0; }'
    )
    assert machine.run(1000) == 1
    got = struct.unpack("<f", machine.read(machine.image.symbol("y").address, 4))[0]
    one = np.float32(1.0000001)
    assert got == float(np.float32(one * one) + np.float32(-1.0))
    assert "__aeabi_fmul" not in {s.name for s in machine.image.symbols}


def test_library_functions_link_from_the_toolchain() -> None:
    machine = bare(
        'float expf(float); volatile float x = 1.0f; int main(void) { x = expf(x); __asm__ volatile("bkpt 1"); return 0; }'
    )
    machine.run(10**5)
    got = struct.unpack("<f", machine.read(machine.image.symbol("x").address, 4))[0]
    assert got == pytest.approx(2.7182817, rel=1e-6)


def test_printing_and_exit_status() -> None:
    source = """
    static int32_t semihost(uint32_t call, const void *argument) {
        register uint32_t r0 __asm__("r0") = call;
        register const void *r1 __asm__("r1") = argument;
        __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
        return (int32_t)r0;
    }
    int main(void) {
        static const char line[] = "yes\\n", mark = '!';
        const uint32_t write[3] = {1, (uint32_t)(uintptr_t)"no\\n", 3};
        const uint32_t end[2] = {0x20026, 5};
        semihost(0x04, line);
        semihost(0x03, &mark);
        if (semihost(0x05, write)) return 1;
        semihost(0x20, end);
        return 0;
    }"""
    board = replace(BOARD, flash_origin=0x08000000)
    with Firmware({"start.c": startup(board.cpu), "main.c": "#include <stdint.h>\n" + source}, board.cpu) as firmware:
        elf = firmware.link(linker_script(board.flash_origin, 65536, board.ram_origin, 16384))
    assert run_elf(elf, board) == ("yes\n!no\n", 5)


def test_an_emulator_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "unicorn.py").write_text("raise ImportError('no shared library')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "unicorn", raising=False)
    monkeypatch.setattr("edgekit.bench.emulate.machine.unicorn_version", lambda: "2")
    with pytest.raises(MissingTool, match="does not load: no shared library"):
        bare("int main(void) { return 0; }")


def test_damaged_elf() -> None:
    with pytest.raises(EdgekitError, match="not a 32-bit"):
        parse(b"hello")
    with pytest.raises(EdgekitError, match=r"damaged|machine"):
        parse(b"\x7fELF\x01\x01" + bytes(60))
    image = build_firmware(toy(LOOP), FACE, BOARD)
    with pytest.raises(EdgekitError):
        parse(image.elf[:5000])


def test_counter_struct_is_the_one_in_c() -> None:
    from edgekit.bench.emulate.counter import Counter

    assert ctypes.sizeof(Counter) == 136
