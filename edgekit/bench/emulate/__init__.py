"""Generated C as firmware on an emulated Cortex-M: outputs, exact sizes and exact instruction counts.

    result = emulate(export_c(graph, "kws"), interface(graph, "kws"), find_target("mcu"), samples)
    result.flash, result.ram, result.instructions

Flash and RAM are the linked image's and the painted stack's; the board's sizes are enforced by the linker. There is no
time here: an emulator counts instructions, not cycles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.bench.emulate.elf import STT_FUNC, STT_OBJECT, Elf, parse
from edgekit.bench.emulate.machine import PAGE, Machine, Region, emulator_name
from edgekit.bench.toolchain import Firmware
from edgekit.errors import BadData, DoesNotFit, EdgekitError
from edgekit.export.c.interface import Interface
from edgekit.export.project.firmware import linker_script, startup
from edgekit.graph import NUMPY_DTYPES, Array
from edgekit.target import Core, Target

__all__ = ["Emulation", "Image", "build_firmware", "emulate", "run_elf"]

FLASH_BASE, RAM_BASE, STACK_TOP = 0x08000000, 0x20000000, 0x30000000
STACK_MOST = 1 << 20  # bytes of stack worth mapping
PORT, READY, DONE = 1, 2, 3  # BKPT numbers of the harness
BUDGET = 20_000_000_000  # instructions an inference may take before it counts as hung


@dataclass(frozen=True)
class Image:
    """Linked firmware. flash, static: bytes of the load image and of .data + .bss; parts sum to them.

    elf: laid out for checking, read-only data and statics flush against unmapped pages; stack_room: bytes RAM has left.
    """

    elf: bytes
    core: Core
    flash: int
    flash_parts: dict[str, int]
    static: int
    stack_room: int
    tool: str


@dataclass(frozen=True)
class Emulation:
    """What running the firmware showed. Sizes in bytes.

    outputs: one {graph output: array} a sample. flash = sum(flash_parts); ram = sum(ram_parts) = arena (inputs and outputs
    included) + static + stack high-water mark. instructions: issued by each run; init_instructions: from reset to the first
    run; by_function: of all runs and start-up, by function. tool: compiler, emulator, versions, flags.
    """

    outputs: list[dict[str, Array]]
    flash: int
    flash_parts: dict[str, int]
    ram: int
    ram_parts: dict[str, int]
    stack: int
    static: int
    arena: int
    instructions: tuple[int, ...]
    init_instructions: int
    by_function: dict[str, int]
    tool: str

    @property
    def mean_instructions(self) -> float:
        return sum(self.instructions) / len(self.instructions) if self.instructions else 0.0


def harness(iface: Interface) -> str:
    """main(): hands out the addresses of the static form's inputs and outputs, then runs the model at every READY."""
    ports = "\n".join(f"    port({p.pointer}());" for p in (*iface.inputs, *iface.outputs))
    return f"""\
#include "{iface.header}"

static void port(const void *address)
{{
    register const void *r0 __asm__("r0") = address;
    __asm__ volatile("bkpt {PORT}" : : "r"(r0));
}}

int main(void)
{{
{ports}
    for (;;) {{
        __asm__ volatile("bkpt {READY}" : : : "memory");
        register int32_t r0 __asm__("r0") = {iface.run_static}();
        __asm__ volatile("bkpt {DONE}" : : "r"(r0) : "memory");
    }}
}}
"""


def build_firmware(files: Mapping[str, bytes], iface: Interface, target: Target, opt: str = "-O2") -> Image:
    """Compile and link generated files with start-up code and harness for `target`'s core and memory sizes.

    Raises DoesNotFit (by how many bytes), MissingTool, BadTarget.
    """
    sources: dict[str, bytes | str] = {"edgekit_startup.c": startup(target.cpu), "edgekit_main.c": harness(iface)}
    wanted = {name: data for name, data in files.items() if name.endswith(".h") or name in iface.sources}
    with Firmware({**sources, **wanted}, target.cpu, opt) as firmware:
        return link_image(firmware, target)


def link_image(firmware: Firmware, target: Target) -> Image:
    """Link twice: for the sizes, then shifted so that flash and RAM end at page ends, where the next byte is unmapped."""
    flash_size, ram_size = target.memory

    def layout(flash_shift: int, ram_shift: int) -> bytes:
        return firmware.link(linker_script(FLASH_BASE + flash_shift, flash_size, RAM_BASE + ram_shift, ram_size, STACK_TOP))

    try:
        first = parse(layout(0, 0))
    except DoesNotFit as error:
        has = f"{target.name} has {flash_size:,} bytes of flash and {ram_size:,} of RAM"
        raise DoesNotFit(f"{has}: {error.message}", error.hint) from error
    flash, static = _flash_end(first) - FLASH_BASE, _ram_end(first) - RAM_BASE
    align = max([32, *(s.align for s in first.sections if s.allocated)])
    elf = layout(-flash % PAGE // align * align, -static % PAGE // align * align)
    room = ram_size - static
    return Image(elf, target.cpu, flash, _flash_parts(first, flash), static, room, firmware.tool)


def _flash_end(image: Elf) -> int:
    return max(s.load + len(s.data) for s in image.segments if s.data)


def _ram_end(image: Elf) -> int:
    return max([RAM_BASE, *(s.address + s.size for s in image.sections if s.allocated and s.writable)])


def _flash_parts(image: Elf, flash: int) -> dict[str, int]:
    """Where the bytes of the load image go; `padding` is what alignment takes."""
    text, rodata = image.section(".text"), image.section(".rodata")
    seen: set[int] = set()
    startup_size = runtime = weights = 0
    for symbol in image.symbols:
        if symbol.address in seen or not symbol.size:
            continue
        seen.add(symbol.address)
        if symbol.kind == STT_FUNC:
            if symbol.file == "compiler_rt":
                runtime += symbol.size
            elif symbol.file == "edgekit_main.c" or symbol.name in {"main", "Reset_Handler", "Default_Handler"}:
                startup_size += symbol.size
        elif symbol.kind == STT_OBJECT and rodata.address <= symbol.address < rodata.address + rodata.size:
            weights += symbol.size
    parts = {
        "vectors": image.section(".vectors").size,
        "startup": startup_size,
        "code": text.size - startup_size - runtime,
        "runtime": runtime,
        "weights": weights,
        "rodata": rodata.size - weights,
        "data": image.section(".data").size,
    }
    return {**parts, "padding": flash - sum(parts.values())}


def _down(address: int) -> int:
    return address // PAGE * PAGE


def _up(address: int) -> int:
    return -(-address // PAGE) * PAGE


def _regions(image: Elf, stack_room: int) -> list[Region]:
    """Flash and statics mapped to their last page only; the stack apart, so that overflowing it faults."""
    start = _down(image.symbol("vectors").address)
    regions = [Region("flash", start, _up(_flash_end(image)) - start, False)]
    static = [s for s in image.sections if s.allocated and s.writable]
    if static:
        base = _down(min(s.address for s in static))
        regions.append(Region("ram", base, _up(_ram_end(image)) - base, True))
    stack = min(_up(max(stack_room, PAGE)), STACK_MOST)
    return [*regions, Region("stack", STACK_TOP - stack, stack, True)]


def emulate(
    files: Mapping[str, bytes],
    iface: Interface,
    target: Target,
    samples: Sequence[Mapping[str, Array]],
    *,
    opt: str = "-O2",
    budget: int = BUDGET,
) -> Emulation:
    """Build generated C for `target` and run every sample, in order, in one emulator session.

    samples: [{graph input name: array of the port's shape and dtype}]. Raises DoesNotFit (flash or statics at the link,
    stack after running), BadData, MissingTool, Unsupported (a core the emulator lacks), EdgekitError (crash or hang).
    """
    name = emulator_name(target.cpu)
    image = build_firmware(files, iface, target, opt)
    elf = parse(image.elf)
    regions = _regions(elf, image.stack_room)
    if target.cpu.aligned_only:
        _run(Machine(elf, target.cpu, regions, watch_alignment=True), iface, samples[:1], budget)
    machine = Machine(elf, target.cpu, regions)
    init, counts, outputs = _run(machine, iface, samples, budget)
    stack = machine.stack_used(regions[-1].base, STACK_TOP)
    if stack > image.stack_room:
        excess = stack - image.stack_room
        raise DoesNotFit(f"the stack needs {stack:,} bytes, {excess:,} more than {target.name} has left", "use a larger board")
    return Emulation(
        outputs=outputs,
        flash=image.flash,
        flash_parts=image.flash_parts,
        ram=image.static + stack,
        ram_parts={"arena": iface.arena, "static": image.static - iface.arena, "stack": stack},
        stack=stack,
        static=image.static - iface.arena,
        arena=iface.arena,
        instructions=tuple(counts),
        init_instructions=init,
        by_function=machine.by_function(),
        tool=f"{image.tool}, {name}",
    )


def _run(
    machine: Machine, iface: Interface, samples: Sequence[Mapping[str, Array]], budget: int
) -> tuple[int, list[int], list[dict[str, Array]]]:
    """(instructions before the first run, instructions of each run, outputs of each run) of a machine fresh from reset."""
    addresses = []
    for _ in (*iface.inputs, *iface.outputs):
        _expect(machine, PORT, budget)
        addresses.append(machine.register(0))
    inputs, results = addresses[: len(iface.inputs)], addresses[len(iface.inputs) :]
    _expect(machine, READY, budget)
    init = machine.instructions - len(addresses) - 1  # less the harness's breakpoints
    counts: list[int] = []
    outputs: list[dict[str, Array]] = []
    for index, sample in enumerate(samples):
        for port, address in zip(iface.inputs, inputs, strict=True):
            machine.write(address, _bytes(sample, port.tensor, port.shape, port.dtype))
        before = machine.instructions
        _expect(machine, DONE, budget)
        counts.append(machine.instructions - before - 1)
        if status := machine.register(0):
            raise EdgekitError(f"{iface.run_static}() returned {status} on sample {index}")
        made: dict[str, Array] = {}
        for port, address in zip(iface.outputs, results, strict=True):
            raw = np.frombuffer(machine.read(address, port.nbytes), NUMPY_DTYPES[port.dtype])
            made[port.tensor] = raw.reshape(port.shape).copy()
        outputs.append(made)
        _expect(machine, READY, budget)
    return init, counts, outputs


def _expect(machine: Machine, wanted: int, budget: int) -> None:
    got = machine.run(budget)
    if got != wanted:
        raise EdgekitError(f"the firmware stopped at {'exit' if got is None else f'BKPT {got}'} instead of BKPT {wanted}")


def _bytes(sample: Mapping[str, Array], name: str, shape: tuple[int, ...], dtype: str) -> bytes:
    if name not in sample:
        raise BadData(f"no data for input '{name}'; given: {sorted(sample)}")
    array = np.asarray(sample[name])
    if array.shape != shape or array.dtype != NUMPY_DTYPES[dtype]:
        raise BadData(f"input '{name}' needs {dtype}{list(shape)}, got {array.dtype}{list(array.shape)}")
    return np.ascontiguousarray(array).tobytes()


def run_elf(elf: bytes, target: Target, *, budget: int = BUDGET) -> tuple[str, int]:
    """Run an exported project's firmware ELF, with the board's own memory map, until it exits: (printed text, exit status).

    The text is what it wrote by semihosting. Raises EdgekitError on a crash, a hang, or a breakpoint.
    """
    flash, ram = target.memory
    image = parse(elf)
    regions = [
        Region("flash", _down(target.flash_origin), _up(target.flash_origin + flash) - _down(target.flash_origin), False),
        Region("ram", _down(target.ram_origin), _up(target.ram_origin + ram) - _down(target.ram_origin), True),
    ]
    machine = Machine(image, target.cpu, regions)
    stopped = machine.run(budget)
    if stopped is not None:
        raise EdgekitError(f"the firmware stopped at BKPT {stopped}; it had printed: {machine.text[-200:]!r}")
    return machine.text, machine.exit_code or 0
