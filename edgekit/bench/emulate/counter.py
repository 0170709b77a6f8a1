"""What the native hooks of counter.c keep: instruction counts, and a profile with the flash accesses that buffers leave."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any


class Counter(ctypes.Structure):
    """The struct `counter` of counter.c."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("code", ctypes.c_void_p),
        ("known", ctypes.c_void_p),
        ("issued", ctypes.c_void_p),
        ("total", ctypes.c_uint64),
        ("budget", ctypes.c_uint64),
        ("stop", ctypes.c_void_p),
        ("stray", ctypes.c_uint64),
        ("unaligned", ctypes.c_uint64),
        ("entered", ctypes.c_void_p),
        ("taken", ctypes.c_void_p),
        ("next", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("fetches", ctypes.c_void_p),
        ("reads", ctypes.c_void_p),
        ("riscv", ctypes.c_uint64),
    )


class Cache(ctypes.Structure):
    """The struct `cache` of counter.c."""

    _fields_ = (
        ("lines", ctypes.c_uint32),
        ("line_shift", ctypes.c_uint32),
        ("word_shift", ctypes.c_uint32),
        ("recent", ctypes.c_uint32),
        ("tags", ctypes.c_uint64 * 64),
        ("used", ctypes.c_uint64 * 64),
        ("misses", ctypes.c_uint64),
        ("clock", ctypes.c_uint64),
        ("valid", ctypes.c_uint32 * 64),
    )


@dataclass(frozen=True)
class FlashCache:
    """Buffers between a core and its flash: lines (at most 64) for instructions and for data; sizes in bytes, powers of two."""

    instruction_lines: int
    data_lines: int
    line: int
    word: int  # what the flash delivers at once


@dataclass(frozen=True)
class Profile:
    """What ran, by halfword of flash, as NumPy arrays. code: the halfwords; executed: issues of the instruction it is of;
    taken: how often that jumped; fetch_misses, read_misses: flash words read for instructions and for data."""

    code: Any
    executed: Any
    taken: Any
    fetch_misses: int
    read_misses: int
