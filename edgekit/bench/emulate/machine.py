"""An emulated microcontroller core that runs one firmware image: exact instruction counts, faults by name, semihosted printing.

Instructions are counted by a block hook (a small C function, since it runs millions of times) that decodes their lengths;
see counter.c. Every breakpoint stops the core: Arm's BKPT 0xAB is semihosting (Arm IHI 0084), others are handed to the caller.
"""

from __future__ import annotations

import _thread
import ctypes
import importlib.metadata
import importlib.resources
import importlib.util
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.bench.elf import STT_FUNC, Elf
from edgekit.bench.emulate.arch import ARCHES
from edgekit.bench.emulate.counter import Cache, Counter, FlashCache, Profile
from edgekit.bench.toolchain import INSTALL, shared_library
from edgekit.cores import Core
from edgekit.errors import DoesNotFit, EdgekitError, MissingTool, Unsupported

PAGE = 4096
PAINT = 0xA5A5A5A5
OVERFLOW = 1 << 20  # a fault this close below the stack's memory is the stack growing out of it
SYS_OPEN, SYS_CLOSE, SYS_WRITEC, SYS_WRITE0, SYS_WRITE, SYS_EXIT, SYS_EXIT_EXTENDED = 0x01, 0x02, 0x03, 0x04, 0x05, 0x18, 0x20
SEMIHOSTING = 0xAB


@dataclass(frozen=True)
class Region:
    """Memory the core may touch; everything else faults. base and size in bytes, whole pages."""

    name: str
    base: int
    size: int
    writable: bool


def unicorn_version() -> str:
    """Version of the emulator. Raises MissingTool."""
    if importlib.util.find_spec("unicorn") is None:
        raise MissingTool("the emulator (package unicorn) is not installed", INSTALL)
    return importlib.metadata.version("unicorn")


def emulator_name(core: Core) -> str:
    """Emulator, version and core model, for reports. Raises Unsupported when it cannot run `core`."""
    version = unicorn_version()
    if not core.unicorn:
        helium = "Helium" in core.isa
        why = f"Unicorn {version} has no {core.title}" + (" and no Helium" if helium else "")
        raise Unsupported("cannot emulate", [(core.title, why, "a Cortex-M0+, M3, M4, M7 or M33 board")])
    return f"unicorn {version} {core.unicorn}"


class Machine:
    """One core with one image loaded, before its first instruction. Not thread-safe; deterministic."""

    def __init__(
        self,
        image: Elf,
        core: Core,
        regions: Sequence[Region],
        watch_alignment: bool = False,
        flash_cache: FlashCache | None = None,
    ) -> None:
        """regions: all the memory there is besides the system control space; RAM is painted to find the stack's depth.

        watch_alignment: fault every unaligned access, as ARMv6-M does and Unicorn does not; about ten times slower.
        flash_cache: keep a profile, with the flash accesses that these buffers would not serve; as slow.
        """
        emulator_name(core)
        try:
            import unicorn  # heavy: only where a firmware is run
        except ImportError as error:  # installed, but its library does not load
            raise MissingTool(f"the emulator (package unicorn) does not load: {error}", INSTALL) from error

        self._unicorn, self._arch = unicorn, ARCHES[core.family]
        self._constants = importlib.import_module(f"unicorn.{core.family}_const")
        self.image, self._printed = image, bytearray()
        self.exit_code: int | None = None
        self._pending = -1  # number of the BKPT reached
        self._fault = ""
        self._stack = next((region for region in regions if region.name == "stack"), None)
        self._overflow = 0
        mode = sum(getattr(unicorn, f"UC_MODE_{name}") for name in self._arch.modes)
        self._uc = uc = unicorn.Uc(getattr(unicorn, f"UC_ARCH_{core.family.upper()}"), mode)
        uc.ctl_set_cpu_model(getattr(self._constants, f"UC_CPU_{self._arch.models}_{core.unicorn}"))
        for region in regions:
            access = unicorn.UC_PROT_READ | (unicorn.UC_PROT_WRITE if region.writable else unicorn.UC_PROT_EXEC)
            uc.mem_map(region.base, region.size, access)
            if region.writable:
                uc.mem_write(region.base, struct.pack("<I", PAINT) * (region.size // 4))
        uc.mem_map(0xE000E000, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)  # system control space: plain memory
        for segment in image.segments:
            if segment.data:
                uc.mem_write(segment.load, segment.data)
        self._flash_cache = flash_cache
        self._counter = self._count(regions, watch_alignment)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(unicorn.UC_HOOK_INSN_INVALID, self._on_invalid)
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_memory)
        start = image.symbol("vectors").address
        if core.family == "arm":
            stack, start = struct.unpack("<2I", self.read(start, 8))
            uc.reg_write(self._register("SP"), stack)
        self._pc = start & ~1

    def _count(self, regions: Sequence[Region], watch_alignment: bool) -> Counter:
        """Install the native hooks of counter.c."""
        first = next(segment.load for segment in self.image.segments if segment.executable)
        code = next(region for region in regions if region.base <= first < region.base + region.size)
        size = code.size
        self._code = ctypes.create_string_buffer(bytes(self._uc.mem_read(code.base, size)), size)
        self._known = (ctypes.c_uint32 * (size // 2))()
        self._issued = (ctypes.c_uint64 * (size // 2))()
        uclib = self._unicorn.unicorn_py3.unicorn.uclib
        stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value
        arrays = [ctypes.addressof(array) for array in (self._code, self._known, self._issued)]
        counter = Counter(code.base, size, *arrays, 0, 2**63, stop, 0, 0, None, None, 0, 0, None, None, 0)
        counter.riscv = self._arch is ARCHES["riscv"]
        source = importlib.resources.files(__package__).joinpath("counter.c").read_text(encoding="ascii")
        self._library = ctypes.CDLL(str(shared_library(source, "counter")))
        everywhere = (1, 0)
        hooks = [(self._library.edgekit_block, self._unicorn.UC_HOOK_BLOCK, everywhere)]
        if watch_alignment:
            accesses = self._unicorn.UC_HOOK_MEM_READ | self._unicorn.UC_HOOK_MEM_WRITE
            hooks.append((self._library.edgekit_access, accesses, everywhere))
        if self._flash_cache:
            self.restart_profile(counter)
            # Of flash alone: with a hook on RAM too, Unicorn 2.1.4 now and then loads half a word.
            flash = (code.base, code.base + size - 1)
            hooks.append((self._library.edgekit_read, self._unicorn.UC_HOOK_MEM_READ, flash))
        for function, kind, span in hooks:
            handle, begin, end = ctypes.c_size_t(), ctypes.c_uint64(span[0]), ctypes.c_uint64(span[1])
            hook, user = ctypes.cast(function, ctypes.c_void_p), ctypes.byref(counter)
            if status := uclib.uc_hook_add(self._uc._uch, ctypes.byref(handle), kind, hook, user, begin, end):
                raise EdgekitError(f"the emulator refused the instruction counter (error {status})")
        return counter

    def restart_profile(self, counter: Counter | None = None) -> None:
        """Forget what was profiled so far, and empty the caches. Only for a machine made with `flash_cache`."""
        counter, geometry = counter or self._counter, self._flash_cache
        assert geometry is not None
        halfwords, shifts = int(counter.bytes) // 2, (geometry.line.bit_length() - 1, geometry.word.bit_length() - 1)
        self._entered, self._taken = (ctypes.c_int64 * (halfwords + 1))(), (ctypes.c_uint64 * halfwords)()
        self._fetches, self._reads = (Cache(n, *shifts) for n in (geometry.instruction_lines, geometry.data_lines))
        counter.entered, counter.taken = ctypes.addressof(self._entered), ctypes.addressof(self._taken)
        counter.fetches, counter.reads = ctypes.addressof(self._fetches), ctypes.addressof(self._reads)
        counter.next = 0

    def profile(self) -> Profile:
        """From the last `restart_profile` to before the breakpoint just reached; ends it."""
        breakpoint_at = (self._pc - 2 - int(self._counter.base)) // 2
        self._entered[breakpoint_at] -= 1
        self._entered[breakpoint_at + 1] += 1
        self._counter.entered = None
        code = np.frombuffer(self._code.raw, "<u2")
        entered = np.array(self._entered, np.int64)
        taken = np.array(self._taken, np.int64)
        executed = np.cumsum(entered)[:-1]
        return Profile(code, executed, taken, int(self._fetches.misses), int(self._reads.misses))

    @property
    def instructions(self) -> int:
        """Issued since reset, BKPT instructions included."""
        return int(self._counter.total)

    @property
    def unaligned(self) -> bool:
        """An access was not a multiple of its size; looked for with `watch_alignment` only."""
        return bool(self._counter.unaligned)

    @property
    def text(self) -> str:
        """What the firmware printed by semihosting, as UTF-8."""
        return self._printed.decode("utf-8", "replace")

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._uc.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    def register(self, index: int) -> int:
        """One of the first four argument registers: R0..R3 of Arm, A0..A3 of RISC-V."""
        return int(self._uc.reg_read(self._register(self._arch.arguments) + index))

    def _register(self, name: str) -> int:
        """The emulator's number of a register."""
        return int(getattr(self._constants, f"UC_{self._constants.__name__[8:-6].upper()}_REG_{name}"))

    def run(self, budget: int) -> int | None:
        """Run to the next BKPT that is not semihosting and return its number, or None when the firmware exits.

        Semihosted output is appended to `text`. Raises EdgekitError on a fault, naming the address and the nearest symbol,
        and when more than `budget` instructions are issued.
        """
        self._counter.budget = self._counter.total + budget
        while True:
            number = self._to_breakpoint(budget)
            if number != SEMIHOSTING:
                return number
            if self._semihost():
                return None

    def _to_breakpoint(self, budget: int) -> int:
        """Run to the next BKPT, of any number, and step over it."""
        self._pending, self._fault = -1, ""
        error = self._execute()
        here = int(self._uc.reg_read(self._register("PC")))
        place = self.image.near(here)
        if self._overflow:
            raise DoesNotFit(
                f"the stack overflowed in {place}: at least {self._overflow:,} bytes needed, more than RAM has left",
                "use a smaller model or a larger board",
            )
        if self._fault or error:
            if place == "?":
                place += f", called from {self.image.near(int(self._uc.reg_read(self._register(self._arch.link))) & ~1)}"
            raise EdgekitError(f"the firmware crashed in {place} (pc 0x{here:08x}): {self._fault or error}")
        if self._counter.stray:
            raise EdgekitError(f"the firmware jumped outside its code, to 0x{self._counter.stray:08x}")
        if self._counter.unaligned:
            at = int(self._counter.unaligned)
            raise EdgekitError(f"the firmware crashed in {place}: unaligned access to 0x{at:08x}, {self.image.near(at)}")
        if self._pending < 0:
            raise EdgekitError(
                f"the firmware did not finish within {budget:,} instructions; it was in {place}",
                "raise the instruction budget if the model is that large",
            )
        self._pc = here + self._arch.breakpoint_bytes
        return self._pending

    def _execute(self) -> str:
        """Run until a hook stops the core; the emulator's complaint, or "".

        On a thread of its own: Python raises KeyboardInterrupt in the main thread only, which would be in a native loop that
        does not look for it, or inside one of Unicorn's callbacks, which swallow it.
        """
        raised: list[Exception] = []
        # Not a threading.Thread: interrupted, Python 3.11 takes a join() for finished, or loses it in a weak reference.
        begun, done = threading.Event(), threading.Event()

        def core() -> None:
            begun.set()
            try:
                self._uc.emu_start(self._pc | self._arch.code_bit, 0xFFFFFFFE)
            except Exception as error:
                raised.append(error)
            finally:
                done.set()

        try:
            _thread.start_new_thread(core, ())
            done.wait()
        except BaseException:
            self._counter.budget = 0  # the next block stops the core
            if begun.wait(1.0):  # else it was never started
                done.wait()
            raise
        if raised and not isinstance(raised[0], self._unicorn.UcError):
            raise raised[0]
        return str(raised[0]) if raised else ""

    def _on_interrupt(self, uc: Any, number: int, _: object) -> None:
        pc = int(uc.reg_read(self._register("PC")))
        if number == self._arch.breakpoint:
            self._pending = self._arch.number(self.read(pc, self._arch.breakpoint_bytes))
        else:
            self._fault = self._arch.exceptions.get(number, f"exception {number}")
        uc.emu_stop()

    def _on_invalid(self, uc: Any, _: object) -> bool:
        self._fault = "undefined instruction"
        return False

    def _on_memory(self, uc: Any, access: int, address: int, size: int, value: int, _: object) -> bool:
        kinds = {
            self._unicorn.UC_MEM_READ_UNMAPPED: "read of",
            self._unicorn.UC_MEM_WRITE_UNMAPPED: "write to",
            self._unicorn.UC_MEM_FETCH_UNMAPPED: "jump to",
            self._unicorn.UC_MEM_WRITE_PROT: "write to read-only memory at",
            self._unicorn.UC_MEM_READ_PROT: "read of protected memory at",
            self._unicorn.UC_MEM_FETCH_PROT: "jump into data at",
        }
        stack = self._stack
        if stack and stack.base - OVERFLOW <= address < stack.base:
            self._overflow = stack.size + stack.base - address
        kind = kinds.get(access, "access to")
        self._fault = f"{kind} {size} byte(s) at 0x{address:08x}, {self.image.near(address)}"
        return False

    def _semihost(self) -> bool:
        """Serve one semihosting call; True when the firmware asked to exit."""
        call, argument = self.register(0), self.register(1)
        result = 0
        if call == SYS_WRITEC:
            self._printed += self.read(argument, 1)
        elif call == SYS_WRITE0:
            self._printed += self._string(argument)
        elif call == SYS_OPEN:
            result = 1  # ":tt", the console
        elif call == SYS_WRITE:
            _, data, size = struct.unpack("<3I", self.read(argument, 12))
            self._printed += self.read(data, size)
        elif call == SYS_EXIT:
            self.exit_code = 0 if argument == 0x20026 else 1  # ADP_Stopped_ApplicationExit
            return True
        elif call == SYS_EXIT_EXTENDED:
            reason, code = struct.unpack("<2I", self.read(argument, 8))
            self.exit_code = code if reason == 0x20026 else 1
            return True
        elif call != SYS_CLOSE:
            raise EdgekitError(f"the firmware asked for semihosting call 0x{call:02x}, which the emulator does not serve")
        self._uc.reg_write(self._register(self._arch.arguments), result)
        return False

    def _string(self, address: int) -> bytes:
        out = bytearray()
        while (byte := self.read(address + len(out), 1)) != b"\0":
            out += byte
        return bytes(out)

    def stack_used(self, base: int, top: int) -> int:
        """Bytes between the deepest painted-over word and `top`, in the stack's memory [base, top)."""
        touched = np.flatnonzero(np.frombuffer(self.read(base, top - base), "<u4") != PAINT)
        return top - base - 4 * int(touched[0]) if touched.size else 0

    def by_function(self) -> dict[str, int]:
        """Instructions issued since reset, by function name."""
        base = int(self._counter.base)
        functions = sorted((s.address, s.name) for s in self.image.symbols if s.kind == STT_FUNC)
        totals: dict[str, int] = {}
        at, name = 0, "?"
        for index, count in enumerate(self._issued):
            while at < len(functions) and functions[at][0] <= base + 2 * index:
                name, at = functions[at][1], at + 1
            if count:
                totals[name] = totals.get(name, 0) + count
        return totals
