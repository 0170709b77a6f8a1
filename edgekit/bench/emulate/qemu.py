"""The system toolchain's emulator: QEMU runs the image on a board model and its timer counts instructions.

With `-icount shift=8` one instruction takes 256 ns of the board's time, so its timer's ticks give the exact count. The
same code is linked twice: as for Unicorn, for the sizes; then with a main() that reads inputs and writes outputs by
semihosting. The stack lies at the bottom of the board's RAM, exactly as large as what the target has left, so that
overflowing it is a fault. Read-only data cannot be laid flush against unmapped memory here: reads past its end are
found by the default toolchain only.
"""

from __future__ import annotations

import functools
import importlib.resources
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.bench.elf import Elf, parse
from edgekit.bench.emulate import unicorn
from edgekit.bench.emulate.counter import FlashCache
from edgekit.bench.emulate.image import compiled, harness, link_image
from edgekit.bench.emulate.result import Emulation, Step, collect, input_bytes, steps_of
from edgekit.bench.toolchain import Firmware, tool_version
from edgekit.cores import Core
from edgekit.errors import DoesNotFit, EdgekitError, Unsupported
from edgekit.export.c.interface import Interface
from edgekit.export.project.firmware import linker_script
from edgekit.graph import NUMPY_DTYPES, Array
from edgekit.target import Target

QEMU = "qemu-system-arm"
INSTALL = "apt install qemu-system-arm"
NS = 256  # of virtual time an instruction
TIMEOUT = 1800  # seconds of this machine's time for all samples
SPARE = 1024  # bytes of stack for the harness itself
FAULT = 101  # exit status of the harness's fault handler


@dataclass(frozen=True)
class Board:
    """A QEMU machine: where its memory is, and a free-running timer of 32 bits. half_ns: length of a tick, in 0.5 ns.

    kind: "fpgaio" (Arm MPS boards; counts from reset; a 1 Hz counter 8 bytes below) or "nrf" (nRF51: started by the harness;
    TIMER1 beside it counts at 31.25 kHz). guard: memory below RAM reads as zero, so the MPU must forbid it. traps: unaligned
    access must be made to fault, as on ARMv6-M. note: what to say of a machine that stands in for another core.
    """

    machine: str
    flash: int
    flash_size: int
    ram: int
    ram_size: int
    kind: str
    timer: int
    half_ns: int
    guard: bool = False
    traps: bool = False
    note: str = ""

    @property
    def coarse_ns(self) -> int:
        return 32_000 if self.kind == "nrf" else 1_000_000_000


K, M = 1024, 1024 * 1024
_STRICT = " (Cortex-M3 that faults unaligned accesses)"
# Facts: QEMU's hw/arm/{microbit,mps2,mps2-tz}.c and hw/misc/mps2-fpgaio.c. A core's boards are tried in order.
BOARDS: dict[str, tuple[Board, ...]] = {
    "cortex-m0plus": (
        Board("microbit", 0, 256 * K, 0x20000000, 16 * K, "nrf", 0x40008000, 125),
        Board("mps2-an385", 0, 4 * M, 0x20000000, 4 * M, "fpgaio", 0x40028018, 80, True, True, _STRICT),
    ),
    "cortex-m3": (Board("mps2-an385", 0, 4 * M, 0x20000000, 4 * M, "fpgaio", 0x40028018, 80, guard=True),),
    "cortex-m4": (Board("mps2-an386", 0, 4 * M, 0x20000000, 4 * M, "fpgaio", 0x40028018, 80, guard=True),),
    "cortex-m7": (Board("mps2-an500", 0, 4 * M, 0x20000000, 4 * M, "fpgaio", 0x40028018, 80, guard=True),),
    "cortex-m33": (Board("mps2-an505", 0x10000000, 4 * M, 0x38000000, 4 * M, "fpgaio", 0x50302018, 100),),
    "cortex-m55": (Board("mps3-an547", 0x10000000, 512 * K, 0x31000000, 4 * M, "fpgaio", 0x59302018, 100),),
}
BOARDS["cortex-m85"] = tuple(replace(board, note=" (Cortex-M55: the same instructions)") for board in BOARDS["cortex-m55"])


@functools.cache
def qemu_version() -> str:
    """Version of the installed emulator. Raises MissingTool."""
    return tool_version(QEMU, "--version", r"version (\d+(?:\.\d+)+)", INSTALL)


def emulator_name(core: Core, board: Board) -> str:
    """Emulator, version and machine, for reports."""
    return f"qemu {qemu_version()} {board.machine}{board.note}"


def emulate(
    files: Mapping[str, bytes],
    iface: Interface,
    target: Target,
    samples: Sequence[Mapping[str, Array]],
    *,
    opt: str,
    per_op: bool,
    budget: int,
    flash_cache: FlashCache | None = None,
    toolchain: str = "gcc",
) -> Emulation:
    """See `edgekit.bench.emulate.emulate`."""
    qemu_version()
    with compiled(files, iface, target, harness(iface), opt=opt, toolchain=toolchain) as firmware:
        image = link_image(firmware, target)
    board = board_for(target.cpu, image.flash, image.static, image.stack_room)
    run = Run(board, iface, target, image.stack_room)
    with compiled(files, iface, target, run.main(), opt=opt, toolchain=toolchain) as firmware:
        run.run(run.link(firmware), samples, budget)
    by_op: tuple[Step, ...] = ()
    if per_op and samples:
        hooked = Run(board, iface, target, image.stack_room, hooks=True)
        with compiled(files, iface, target, hooked.main(), opt=opt, toolchain=toolchain, mark="bl edgekit_step") as firmware:
            hooked.run(hooked.link(firmware), samples[:1], budget)
        by_op = steps_of(iface, hooked.shares, run.counts[0])
    profiled = None
    if flash_cache and samples and target.cpu.unicorn:
        profiled = unicorn.profile(image, iface, samples[0], flash_cache, budget)
    return collect(
        image,
        iface,
        target,
        outputs=run.outputs,
        instructions=run.counts,
        init=run.init,
        stack=run.stack,
        emulator=emulator_name(target.cpu, board),
        by_op=by_op,
        profile=profiled,
    )


def board_for(core: Core, flash: int, static: int, room: int) -> Board:
    """The first board of `core` that holds the image and a harness. Raises Unsupported."""
    boards = BOARDS.get(core.name, ())
    for board in boards:
        stack = min(room, 64 * K) + SPARE
        if flash + 4 * SPARE <= board.flash_size and static + stack + SPARE <= board.ram_size:
            return board
    known = [f"{b.machine} holds {b.flash_size:,} bytes of flash and {b.ram_size:,} of RAM" for b in boards]
    why = "; ".join(known) or f"QEMU {qemu_version()} has no machine for it"
    raise Unsupported("cannot emulate", [(core.title, why, f"a model of less than {flash:,} + {static:,} bytes")])


class Run:
    """One firmware on one board: its main(), its link, and after `run` what it did."""

    def __init__(self, board: Board, iface: Interface, target: Target, room: int, hooks: bool = False) -> None:
        self.board, self.iface, self.target, self.hooks = board, iface, target, hooks
        self.room = room
        self.counts: list[int] = []
        self.outputs: list[dict[str, Array]] = []
        self.init = self.stack = 0
        self.shares: dict[int, int] = {}

    def main(self) -> str:
        """The harness of qemu.c, told about this model and board."""
        iface, board = self.iface, self.board
        gets = " || ".join(f"get(file, {p.pointer}(), {p.nbytes}u)" for p in iface.inputs)
        puts = "; ".join(f"put(file, {p.pointer}(), {p.nbytes}u)" for p in iface.outputs)
        defines = {
            "MODEL_H": f'"{iface.header}"',
            "RUN": f'"{iface.run_static}"',
            "GET_INPUTS(file)": gets,
            "PUT_OUTPUTS(file)": puts,
            "RAM": f"0x{board.ram:08x}u",
            "TIMER": f"0x{board.timer:08x}u",
            "HALF_NS": f"{board.half_ns}u",
        }
        if board.kind == "nrf":
            defines["NRF"] = "1"
        if board.guard:
            defines["GUARD"] = "1"
        if board.traps:
            defines["TRAP"] = "1"
        if self.hooks:
            defines |= {"STEPS": str(len(iface.steps)), "STEP_HOOK(n)": f"{iface.prefix}_STEP(n)"}
        text = importlib.resources.files(__package__).joinpath("qemu.c").read_text(encoding="ascii")
        return "".join(f"#define {name} {value}\n" for name, value in defines.items()) + text

    def link(self, firmware: Firmware) -> bytes:
        """With the stack first in RAM and all else after it."""
        board = self.board
        stack = (min(self.room, board.ram_size // 2) + SPARE + 63) // 64 * 64
        start = board.ram + stack
        try:
            return firmware.link(linker_script(board.flash, board.flash_size, start, board.ram_size - stack, start))
        except DoesNotFit as error:
            raise EdgekitError(f"{board.machine} is too small for this model and its harness: {error.message}") from error

    def run(self, elf: bytes, samples: Sequence[Mapping[str, Array]], budget: int) -> None:
        iface = self.iface
        data = [input_bytes(s, p.tensor, p.shape, p.dtype) for s in samples for p in iface.inputs]
        with tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True) as holder:
            folder = Path(holder)
            (folder / "firmware.elf").write_bytes(elf)
            (folder / "in").write_bytes(b"".join(data))
            self._start(folder, parse(elf))
            raw = (folder / "out").read_bytes()
        self._read(raw, len(samples), budget)

    def _start(self, folder: Path, image: Elf) -> None:
        quiet = ("-display", "none", "-monitor", "none", "-serial", "none")
        semihosting = ("-semihosting-config", "enable=on,target=native")
        command = [QEMU, "-M", self.board.machine, *quiet, *semihosting, "-icount", "shift=8", "-kernel", "firmware.elf"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired as error:
            raise EdgekitError(f"the firmware did not finish within {TIMEOUT} s on {self.board.machine}") from error
        if done.returncode == 0:
            return
        fault = folder / "fault"
        if done.returncode == FAULT and fault.exists():
            self._explain(fault.read_bytes(), image)
        raise EdgekitError(f"{QEMU} stopped with status {done.returncode}: {done.stderr.strip()[-300:]}")

    def _explain(self, raw: bytes, image: Elf) -> None:
        """What the fault handler wrote: where the core was, and the fault status registers (ARMv7-M ARM, B3.2.15)."""
        stack, pc, status, *addresses = struct.unpack("<5I", raw)
        address = addresses[0] if status & 0x80 else addresses[1] if status & 0x8000 else -1
        if stack < self.board.ram or self.board.ram - M <= address < self.board.ram:
            raise DoesNotFit(
                f"the stack overflowed: more than the {self.room:,} bytes {self.target.name} has left",
                "use a smaller model or a larger board",
            )
        kinds = {1 << 16: "undefined instruction", 1 << 24: "unaligned access", 1 << 25: "division by zero"}
        why = next((text for bit, text in kinds.items() if status & bit), f"fault, CFSR 0x{status:08x}")
        if address >= 0:
            why += f" at 0x{address:08x}, {image.near(address)}"
        raise EdgekitError(f"the firmware crashed in {image.near(pc)} (pc 0x{pc:08x}): {why}")

    def _read(self, raw: bytes, samples: int, budget: int) -> None:
        iface, at = self.iface, 0

        def words(count: int) -> tuple[int, ...]:
            nonlocal at
            at += 4 * count
            return struct.unpack_from(f"<{count}I", raw, at - 4 * count)

        first = words(1)[0]
        self.init = round(first * self.board.half_ns / (2 * NS))
        for index in range(samples):
            status, before, after, coarse_before, coarse_after = words(5)
            if status:
                raise EdgekitError(f"{iface.run_static}() returned {status} on sample {index}")
            count = self._elapsed(before, after, coarse_after - coarse_before)
            if count > budget:
                raise EdgekitError(f"the firmware took {count:,} instructions, more than {budget:,}")
            self.counts.append(count)
            made: dict[str, Array] = {}
            for port in iface.outputs:
                values = np.frombuffer(raw, NUMPY_DTYPES[port.dtype], port.elements, at)
                made[port.tensor] = values.reshape(port.shape).copy()
                at += port.nbytes
            self.outputs.append(made)
        self.stack = words(1)[0]
        if self.hooks:
            slots = len(iface.steps) + 2
            counts, hits = words(slots), words(slots)
            each = counts[slots - 1]  # what a hook itself issues
            self.shares = {i: counts[i] - hits[i] * each for i in range(len(iface.steps))}

    def _elapsed(self, before: int, after: int, coarse: int) -> int:
        """Instructions between two readings, the call included: the coarse timer tells how often the fine one wrapped."""
        tick = self.board.half_ns / 2
        fine, span = ((after - before) % 2**32) * tick, 2**32 * tick
        wraps = max(0, round((coarse % 2**32 * self.board.coarse_ns - fine) / span))
        return round((fine + wraps * span) / NS) - 1  # less the reading itself
