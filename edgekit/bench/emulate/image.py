"""Firmware images for emulated cores: generated C with start-up code and a harness, linked for sizes and for checking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit.bench.elf import STT_FUNC, STT_OBJECT, Elf, parse
from edgekit.bench.emulate.arch import ARCHES, breakpoint_text
from edgekit.bench.emulate.machine import PAGE, Region
from edgekit.bench.gcc import GccFirmware
from edgekit.bench.toolchain import Firmware
from edgekit.cores import Core
from edgekit.errors import BadConfig, DoesNotFit
from edgekit.export.c.interface import Interface
from edgekit.export.project.firmware import linker_script, startup
from edgekit.target import Target

TOOLCHAINS: dict[str, type[Firmware]] = {"zig": Firmware, "gcc": GccFirmware}
FLASH_BASE, RAM_BASE, STACK_TOP = 0x08000000, 0x20000000, 0x30000000
STACK_MOST = 1 << 20  # bytes of stack worth mapping
PORT, READY, DONE, STEP = 1, 2, 3, 4  # the harness's breakpoints
STARTUP, MAIN, HOOK = "edgekit_startup.c", "edgekit_main.c", "edgekit_step.h"
# What a step's hook executes; `mark` is the third and last instruction before the step (or its callee's).
HOOK_TEXT = """\
#define {prefix}_STEP(n) __asm__ volatile("{set}\\n\\t{mark}" : : "i"((n) & 255), "i"((n) >> 8) \\
    : {clobbers})
"""


@dataclass(frozen=True)
class Image:
    """Linked firmware. flash, static: bytes of the load image and of .data + .bss; parts sum to them.

    elf: laid out for checking, read-only data and statics flush against unmapped pages; stack_room: bytes RAM has left.
    symbols: bytes of flash of each function and constant.
    """

    elf: bytes
    core: Core
    flash: int
    flash_parts: dict[str, int]
    static: int
    stack_room: int
    tool: str
    symbols: dict[str, int] = field(default_factory=dict)


def harness(iface: Interface, family: str = "arm") -> str:
    """main(): hands out the addresses of the static form's inputs and outputs, then runs the model at every READY."""
    ports = "\n".join(f"    port({p.pointer}());" for p in (*iface.inputs, *iface.outputs))
    reset = f"\n    {iface.reset_static}();" if iface.stateful else ""
    first = ARCHES[family].argument
    return f"""\
#include "{iface.header}"

static void port(const void *address)
{{
    register const void *first __asm__("{first}") = address;
    __asm__ volatile("{breakpoint_text(family, PORT)}" : : "r"(first));
}}

int main(void)
{{
{ports}{reset}
    for (;;) {{
        __asm__ volatile("{breakpoint_text(family, READY)}" : : : "memory");
        register int32_t status __asm__("{first}") = {iface.run_static}();
        __asm__ volatile("{breakpoint_text(family, DONE)}" : : "r"(status) : "memory");
    }}
}}
"""


def compiled(
    files: Mapping[str, bytes],
    iface: Interface,
    target: Target,
    main: str,
    *,
    opt: str = "-O2",
    toolchain: str = "zig",
    mark: str = "",
    traps: bool = False,
) -> Firmware:
    """Generated files with start-up code and a main(), for `target`'s core; to be used as a context manager.

    mark: the instruction that every step of the network executes first, after r0 + 256 r1 is set to its number; "": none.
    traps: undefined behaviour in C stops the core. Raises BadConfig, MissingTool.
    """
    if toolchain not in TOOLCHAINS:
        raise BadConfig(f"there is no toolchain '{toolchain}'", f"one of {', '.join(TOOLCHAINS)}")
    sources: dict[str, bytes | str] = {STARTUP: startup(target.cpu), MAIN: main}
    if mark:
        given, clobbers = ARCHES[target.cpu.family].hook
        sources[HOOK] = HOOK_TEXT.format(prefix=iface.prefix, set=given, mark=mark, clobbers=clobbers)
    wanted = {name: data for name, data in files.items() if name.endswith(".h") or name in iface.sources}
    return TOOLCHAINS[toolchain]({**sources, **wanted}, target.cpu, opt, (), HOOK if mark else "", traps)


def build_firmware(
    files: Mapping[str, bytes],
    iface: Interface,
    target: Target,
    opt: str = "-O2",
    toolchain: str = "zig",
    mark: str = "",
    traps: bool = False,
) -> Image:
    """Compile and link generated files with start-up code and harness for `target`'s core and memory sizes.

    Raises DoesNotFit (by how many bytes), MissingTool, BadTarget.
    """
    main = harness(iface, target.cpu.family)
    with compiled(files, iface, target, main, opt=opt, toolchain=toolchain, mark=mark, traps=traps) as firmware:
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
    flash, static = flash_end(first) - FLASH_BASE, _ram_end(first) - RAM_BASE
    align = max([32, *(s.align for s in first.sections if s.allocated)])
    elf = layout(-flash % PAGE // align * align, -static % PAGE // align * align)
    room = ram_size - static
    parts, symbols = _flash_parts(first, flash, firmware), _flash_symbols(first)
    return Image(elf, target.cpu, flash, parts, static, room, firmware.tool, symbols)


def flash_end(image: Elf) -> int:
    return max(s.load + len(s.data) for s in image.segments if s.data)


def _ram_end(image: Elf) -> int:
    return max([RAM_BASE, *(s.address + s.size for s in image.sections if s.allocated and s.writable)])


def _flash_parts(image: Elf, flash: int, firmware: Firmware) -> dict[str, int]:
    """Where the bytes of the load image go; `padding` is what alignment takes."""
    text, rodata = image.section(".text"), image.section(".rodata")
    seen: set[int] = set()
    startup_size = runtime = weights = 0
    own = {"main", "Reset_Handler", "Default_Handler"}
    for symbol in image.symbols:
        if symbol.address in seen or not symbol.size:
            continue
        seen.add(symbol.address)
        if symbol.kind == STT_FUNC:
            if symbol.name in own or symbol.file == MAIN:
                startup_size += symbol.size
            elif firmware.is_runtime(symbol):
                runtime += symbol.size
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


def _flash_symbols(image: Elf) -> dict[str, int]:
    """Bytes of each function and of each constant; names for one address count once, equal names (of two files) together."""
    rodata, sizes, seen = image.section(".rodata"), dict[str, int](), set[int]()
    for symbol in image.symbols:
        constant = symbol.kind == STT_OBJECT and rodata.address <= symbol.address < rodata.address + rodata.size
        if symbol.size and symbol.address not in seen and (constant or symbol.kind == STT_FUNC):
            seen.add(symbol.address)
            sizes[symbol.name] = sizes.get(symbol.name, 0) + symbol.size
    return sizes


def down(address: int) -> int:
    return address // PAGE * PAGE


def up(address: int) -> int:
    return -(-address // PAGE) * PAGE


def regions(image: Elf, stack_room: int) -> list[Region]:
    """Flash and statics mapped to their last page only; the stack apart, so that overflowing it faults."""
    start = down(image.symbol("vectors").address)
    regions = [Region("flash", start, up(flash_end(image)) - start, False)]
    static = [s for s in image.sections if s.allocated and s.writable]
    if static:
        base = down(min(s.address for s in static))
        regions.append(Region("ram", base, up(_ram_end(image)) - base, True))
    stack = min(up(max(stack_room, PAGE)), STACK_MOST)
    return [*regions, Region("stack", STACK_TOP - stack, stack, True)]
