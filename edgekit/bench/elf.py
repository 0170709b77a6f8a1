"""Just enough of ELF32 little-endian to load firmware and to name its bytes (System V ABI, chapter 4; ARM ELF supplement)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgekit.errors import EdgekitError

PT_LOAD = 1
SHT_SYMTAB, SHT_NOBITS = 2, 8
SHF_WRITE, SHF_ALLOC, SHF_EXEC = 1, 2, 4
STT_OBJECT, STT_FUNC, STT_FILE = 1, 2, 4
EM_ARM, EM_RISCV = 40, 243


@dataclass(frozen=True)
class Segment:
    """A loadable piece: `data` goes to `load` (flash); it is used at `address`, `memory` bytes long, zeros beyond the data."""

    address: int
    load: int
    data: bytes
    memory: int
    executable: bool


@dataclass(frozen=True)
class Section:
    name: str
    address: int
    size: int
    flags: int
    align: int
    stored: bool  # False for .bss: takes memory, not file

    @property
    def allocated(self) -> bool:
        return bool(self.flags & SHF_ALLOC) and self.size > 0

    @property
    def writable(self) -> bool:
        return bool(self.flags & SHF_WRITE)

    @property
    def executable(self) -> bool:
        return bool(self.flags & SHF_EXEC)


@dataclass(frozen=True)
class Symbol:
    """`address` has the Thumb bit cleared; `file` is the translation unit of a local symbol ("" for a global one)."""

    name: str
    address: int
    size: int
    kind: int
    file: str


@dataclass(frozen=True)
class Elf:
    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def symbol(self, name: str) -> Symbol:
        for symbol in self.symbols:
            if symbol.name == name:
                return symbol
        raise EdgekitError(f"the firmware has no symbol '{name}'", "link it with edgekit's start-up code and linker script")

    def section(self, name: str) -> Section:
        """An allocated section; an empty one when the linker dropped it."""
        return next((s for s in self.sections if s.name == name and s.allocated), Section(name, 0, 0, 0, 1, True))

    def near(self, address: int) -> str:
        """'name+0x12' for the function or object that holds `address`; the closest one before it otherwise; '?' for none."""
        best: Symbol | None = None
        for symbol in self.symbols:
            named = symbol.kind in {STT_FUNC, STT_OBJECT} and symbol.address <= address
            if named and (best is None or symbol.address >= best.address):
                best = symbol
        if best is None or address - best.address > max(best.size, 0x10000):
            return "?"
        offset = address - best.address
        place = f"{best.name}+0x{offset:x}" if offset else best.name
        return place if offset < best.size else f"{offset - best.size} byte(s) past the end of {best.name}"


def parse(data: bytes) -> Elf:
    """Read an Arm or RISC-V executable. Raises EdgekitError when it is not one or is cut short."""
    if data[:6] != b"\x7fELF\x01\x01":
        raise EdgekitError("not a 32-bit little-endian ELF file", "pass the .elf the linker wrote")
    try:
        return _parse(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise EdgekitError(f"the ELF file is damaged: {error}") from error


def _parse(data: bytes) -> Elf:
    machine, _, entry, phoff, shoff, _, _, phsize, phnum, shsize, shnum, shstr = struct.unpack_from("<HIIIIIHHHHHH", data, 18)
    if machine not in {EM_ARM, EM_RISCV}:
        raise EdgekitError(f"the ELF file is for machine {machine}, neither Arm nor RISC-V")
    segments = []
    for i in range(phnum):
        kind, offset, address, load, stored, memory, flags, _ = struct.unpack_from("<8I", data, phoff + i * phsize)
        if kind == PT_LOAD and memory:
            segments.append(Segment(address, load, data[offset : offset + stored], memory, bool(flags & 1)))
    headers = [struct.unpack_from("<10I", data, shoff + i * shsize) for i in range(shnum)]
    names = headers[shstr][4] if headers else 0
    sections = tuple(Section(_text(data, names + h[0]), h[3], h[5], h[2], max(h[8], 1), h[1] != SHT_NOBITS) for h in headers)
    symbols = []
    for header in headers:
        if header[1] != SHT_SYMTAB:
            continue
        strings, unit = headers[header[6]][4], ""
        for offset in range(header[4], header[4] + header[5], 16):
            name, value, size, info, _, where = struct.unpack_from("<IIIBBH", data, offset)
            kind, local = info & 15, info >> 4 == 0
            text = _text(data, strings + name)
            if kind == STT_FILE:
                unit = text
            elif where and text and not text.startswith("$"):  # $t, $d: ARM mapping symbols
                symbols.append(Symbol(text, value & ~1 if kind == STT_FUNC else value, size, kind, unit if local else ""))
    return Elf(entry, tuple(segments), sections, tuple(symbols))


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
