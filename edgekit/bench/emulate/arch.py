"""What differs between the emulated instruction sets: breakpoints, registers, exceptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Arch:
    """modes, models, arguments (the first of four), link: as Unicorn names them. code_bit: set in an address to run from.

    breakpoint: the exception of a breakpoint; breakpoint_bytes: to step over, numbered by `number` of them; exceptions: the
    others, by QEMU's numbers (target/*/cpu.h, cpu_bits.h), as Unicorn passes them to an interrupt hook.
    text: a breakpoint in assembler; hook: numbers a step in the first two argument registers, with what it clobbers.
    """

    modes: tuple[str, ...]
    models: str
    arguments: str
    link: str
    code_bit: int
    breakpoint: int
    breakpoint_bytes: int
    number: Callable[[bytes], int]
    exceptions: Mapping[int, str]
    text: str
    hook: tuple[str, str]
    argument: str


ARCHES: dict[str, Arch] = {
    "arm": Arch(
        modes=("THUMB", "MCLASS"),
        models="ARM",
        arguments="R0",
        link="LR",
        code_bit=1,
        breakpoint=7,
        breakpoint_bytes=2,
        number=lambda code: code[0],
        exceptions={
            1: "undefined instruction",
            2: "SVC",
            3: "jump to where there is no code",
            4: "unaligned or forbidden access",
        },
        text="bkpt {number}",
        hook=("movs r0, %0\\n\\tmovs r1, %1", '"r0", "r1", "r2", "r3", "r12", "lr", "cc", "memory"'),
        argument="r0",
    ),
    # ECALL, since Unicorn 2.1.4 takes EBREAK for an undefined instruction. It has no operand: the number follows in an
    # instruction without effect, where the core then is, and which is stepped over.
    "riscv": Arch(
        modes=("RISCV32",),
        models="RISCV32",
        arguments="A0",
        link="RA",
        code_bit=0,
        breakpoint=8,
        breakpoint_bytes=4,
        number=lambda code: int.from_bytes(code, "little") >> 12,
        exceptions={
            1: "jump to where there is no code",
            2: "undefined instruction",
            4: "unaligned access",
            5: "forbidden access",
            6: "unaligned access",
            7: "forbidden access",
        },
        text=".option push\\n\\t.option norvc\\n\\tecall\\n\\tlui zero, {number}\\n\\t.option pop",
        hook=("li a0, %0\\n\\tli a1, %1", '"a0", "a1", "memory"'),
        argument="a0",
    ),
}


def breakpoint_text(family: str, number: int) -> str:
    """A numbered breakpoint, as the text of an assembler string in C."""
    return ARCHES[family].text.format(number=number)
