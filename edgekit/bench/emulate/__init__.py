"""Generated C as firmware on an emulated Cortex-M: outputs, exact sizes and exact instruction counts.

    result = emulate(export_c(graph, "kws"), interface(graph, "kws"), find_target("mcu"), samples)
    result.flash, result.ram, result.instructions

Two toolchains give the same `Emulation`: "zig" (zig cc and Unicorn, from PyPI; the default) and "gcc" (the system's
arm-none-eabi-gcc and QEMU, when asked for; the only one for Cortex-M55). Flash and RAM are the linked image's and the
painted stack's; the board's sizes are enforced by the linker. There is no time here: an emulator counts instructions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.bench.elf import parse
from edgekit.bench.emulate import qemu, unicorn
from edgekit.bench.emulate.counter import FlashCache
from edgekit.bench.emulate.image import TOOLCHAINS, Image, build_firmware, down, up
from edgekit.bench.emulate.machine import Machine, Region
from edgekit.bench.emulate.result import BUDGET, Emulation, Step
from edgekit.errors import BadConfig, EdgekitError
from edgekit.export.c.interface import Interface
from edgekit.graph import Array
from edgekit.target import Target

__all__ = ["TOOLCHAINS", "Emulation", "Image", "Step", "build_firmware", "emulate", "run_elf"]


def emulate(
    files: Mapping[str, bytes],
    iface: Interface,
    target: Target,
    samples: Sequence[Mapping[str, Array]],
    *,
    toolchain: str = "zig",
    opt: str = "-O2",
    per_op: bool = False,
    flash_cache: FlashCache | None = None,
    budget: int = BUDGET,
) -> Emulation:
    """Build generated C for `target` and run every sample, in order, in one emulator session.

    samples: [{graph input name: array of the port's shape and dtype}]. toolchain: a key of TOOLCHAINS. per_op: fill
    `by_op`, by one more build and a run of the first sample. flash_cache: fill `profile`, by one more run of it (on the
    default emulator, whatever the toolchain; None for a core it lacks). Raises DoesNotFit (flash or statics at the link,
    stack after running), BadData, BadConfig, MissingTool, Unsupported (a core the emulator lacks), EdgekitError (a crash, a
    hang).
    """
    if toolchain not in TOOLCHAINS:
        raise BadConfig(f"there is no toolchain '{toolchain}'", f"one of {', '.join(TOOLCHAINS)}")
    if toolchain == "gcc" and not target.cpu.gcc:
        raise BadConfig(f"toolchain gcc is Arm's, {target.cpu.title} is not", "leave out --toolchain gcc")
    engine = qemu.emulate if toolchain == "gcc" else unicorn.emulate
    return engine(files, iface, target, samples, opt=opt, per_op=per_op, flash_cache=flash_cache, budget=budget)


def run_elf(elf: bytes, target: Target, *, budget: int = BUDGET) -> tuple[str, int]:
    """Run an exported project's firmware ELF, with the board's own memory map, until it exits: (printed text, exit status).

    The text is what it wrote by semihosting. Raises EdgekitError on a crash, a hang, or a breakpoint.
    """
    flash, ram = target.memory
    image = parse(elf)
    regions = [
        Region("flash", down(target.flash_origin), up(target.flash_origin + flash) - down(target.flash_origin), False),
        Region("ram", down(target.ram_origin), up(target.ram_origin + ram) - down(target.ram_origin), True),
    ]
    machine = Machine(image, target.cpu, regions)
    stopped = machine.run(budget)
    if stopped is not None:
        raise EdgekitError(f"the firmware stopped at BKPT {stopped}; it had printed: {machine.text[-200:]!r}")
    return machine.text, machine.exit_code or 0
