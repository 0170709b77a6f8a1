"""Thumb instructions as timing tables see them: a class, what memory they touch, which registers they set and address with.

Encodings: ARMv7-M Architecture Reference Manual (Arm DDI 0403E), A5.2 (16 bits), A5.3 (32 bits) and A6 (floating point).
"""

from __future__ import annotations

from dataclasses import dataclass, field

SP, PC = 13, 15
NONE: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Instruction:
    """kind: "alu", "mul", "mla", "mull", "mlal", "div", "load", "store", "dual", "multiple", "branch", "if_branch", "call",
    "table", "it", "fpu", "fpu_mac", "fpu_div" or "fpu_move".

    size: bytes; words: moved by "multiple" and floating-point loads and stores; sets: the register an "alu", multiply or
    "load" writes (-1: none); address: registers that form the address; jumps: it writes PC; offset: by a register;
    literal: a load from beside the code.
    """

    kind: str
    size: int
    words: int = 1
    sets: int = -1
    address: frozenset[int] = field(default=NONE)
    jumps: bool = False
    offset: bool = False
    literal: bool = False


def decode(first: int, second: int) -> Instruction:
    """The instruction whose first halfword is `first`; `second` is the next one in memory."""
    return _wide(first, second) if first >> 11 >= 0x1D else _narrow(first)


def _alu(size: int, sets: int = -1) -> Instruction:
    return Instruction("alu", size, sets=sets, jumps=sets == PC)


def _narrow(op: int) -> Instruction:
    low, middle, high = op & 7, op >> 3 & 7, op >> 8 & 7
    if op < 0x2000:
        return _alu(2, low)
    if op < 0x4000:
        return _alu(2, -1 if op >> 11 == 5 else high)  # 5: CMP
    if op < 0x4400:
        code = op >> 6 & 15
        return Instruction("mul", 2, sets=low) if code == 13 else _alu(2, -1 if code in {8, 10, 11} else low)
    if op < 0x4800:
        target = low | op >> 4 & 8
        if op >> 8 & 3 == 3:
            return Instruction("call" if op & 0x80 else "branch", 2, jumps=True)
        return _alu(2, -1 if op >> 8 & 3 == 1 else target)
    if op < 0x5000:
        return Instruction("load", 2, sets=high, literal=True)
    if op < 0x6000:
        address = frozenset((middle, op >> 6 & 7))
        if op >> 9 & 7 < 3:
            return Instruction("store", 2, address=address, offset=True)
        return Instruction("load", 2, sets=low, address=address, offset=True)
    if op < 0xA000:
        stack = op >> 12 == 9
        address = frozenset((SP,)) if stack else frozenset((middle,))
        if op & 0x800:
            return Instruction("load", 2, sets=high if stack else low, address=address)
        return Instruction("store", 2, address=address)
    if op < 0xB000:
        return _alu(2, high)
    if op < 0xC000:
        return _narrow_other(op)
    if op < 0xD000:
        return Instruction("multiple", 2, words=(op & 0xFF).bit_count())
    if op < 0xE000:
        return Instruction("if_branch", 2, jumps=True) if op >> 8 & 15 < 14 else _alu(2)
    return Instruction("branch", 2, jumps=True)


def _narrow_other(op: int) -> Instruction:
    group = op >> 8 & 15
    if group == 0:
        return _alu(2, SP)
    if group in {1, 3, 9, 11}:
        return Instruction("if_branch", 2, jumps=True)  # CBZ, CBNZ
    if group in {4, 5, 12, 13}:
        return Instruction("multiple", 2, words=(op & 0x1FF).bit_count(), jumps=group == 13)
    if group == 15:
        return Instruction("it", 2) if op & 15 else _alu(2)
    return _alu(2, op & 7 if group in {2, 10} else -1)


def _wide(one: int, two: int) -> Instruction:
    if one & 0xFE00 == 0xE800:
        return _multiple_or_dual(one, two)
    if one & 0xFE00 == 0xEA00:
        return _result(two)
    if one & 0xEC00 == 0xEC00:
        return _floating(one, two)
    if one & 0xF800 == 0xF000:
        if not two & 0x8000:
            return _result(two)
        if two & 0x5000 == 0x5000:
            return Instruction("call", 4, jumps=True)
        if two & 0x5000 == 0x1000:
            return Instruction("branch", 4, jumps=True)
        conditional = not two & 0x5000 and one >> 6 & 15 < 14
        return Instruction("if_branch", 4, jumps=True) if conditional else _alu(4)
    if one & 0xFE00 == 0xF800:
        return _single(one, two)
    if one & 0xFF00 == 0xFA00:
        return _result(two)
    return _multiply(one, two)


def _result(two: int) -> Instruction:
    target = two >> 8 & 15
    return _alu(4, -1 if target == PC else target)  # PC: a comparison


def _multiple_or_dual(one: int, two: int) -> Instruction:
    base = frozenset((one & 15,))
    if not one & 0x40:
        return Instruction("multiple", 4, words=two.bit_count(), address=base, jumps=bool(one & 0x10 and two & 0x8000))
    if one & 0x120:
        return Instruction("dual", 4, words=2, address=base, literal=one & 15 == PC)
    if one & 0xFFF0 == 0xE8D0 and two & 0xE0 == 0:
        return Instruction("table", 4, jumps=True)
    return Instruction("load" if one & 0x10 else "store", 4, address=base)  # exclusive


def _single(one: int, two: int) -> Instruction:
    base, target = one & 15, two >> 12
    offset = base != PC and not one & 0x80 and not two & 0x800
    address = frozenset((base, two & 15)) if offset else frozenset((base,))
    if not one & 0x10:
        return Instruction("store", 4, address=address, offset=offset)
    if target == PC:
        word = one >> 5 & 3 == 2
        return Instruction("load", 4, address=address, jumps=True) if word else _alu(4)  # else a preload hint
    return Instruction("load", 4, sets=target, address=address, offset=offset, literal=base == PC)


def _multiply(one: int, two: int) -> Instruction:
    code, target = one >> 4 & 7, two >> 8 & 15
    if not one & 0x80:
        plain = code == 0 and two >> 12 == PC
        return Instruction("mul" if plain else "mla", 4, sets=target)
    if two >> 4 & 15 == 15 and code in {1, 3}:
        return Instruction("div", 4, sets=target)
    return Instruction("mlal" if code >= 4 else "mull", 4, sets=target)


def _floating(one: int, two: int) -> Instruction:
    if one & 0xFF00 == 0xFE00:
        return Instruction("fpu", 4)  # VSEL, VMAXNM, VRINT: one cycle each
    if one & 0xFE00 == 0xEC00:
        if one & 0x01E0 == 0x0040:
            return Instruction("fpu_move", 4, words=2)  # two core registers
        single = one & 0x0120 == 0x0100
        words = (2 if two & 0x100 else 1) if single else two & 0xFF
        return Instruction("multiple", 4, words=words, address=frozenset((one & 15,)), literal=single and one & 15 == PC)
    if two & 0x10:
        return Instruction("fpu_move", 4)
    code = one >> 4 & 0xB
    if code in {0, 1, 9, 10}:
        return Instruction("fpu_mac", 4)
    root = code == 11 and one & 15 == 1 and two & 0xC0 == 0xC0
    return Instruction("fpu_div" if code == 8 or root else "fpu", 4)
