"""Microcontrollers' cores as compilers and the emulator name them: the firmware of a target is built for one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Core:
    """A processor core as compilers and the emulator name it. Facts: Arm's technical reference manuals, the RISC-V manual.

    gcc: its options for Arm's bare-metal GCC; empty: another compiler's core.
    """

    name: str
    title: str
    isa: str
    zig_cpu: str
    zig_abi: str
    gcc: tuple[str, ...]
    unicorn: str = ""  # model in the Unicorn emulator; empty: it has none
    fpu: bool = False
    aligned_only: bool = False  # every unaligned load or store faults
    family: Literal["arm", "riscv"] = "arm"


_M55 = ("-mcpu=cortex-m55", "-mfloat-abi=hard")
# zig's bare cortex_m4/m7/m33 enable neither the FPU nor (m33) the DSP extension, so they are spelled out.
CORES: dict[str, Core] = {
    core.name: core
    for core in (
        Core(
            "cortex-m0plus",
            "Cortex-M0+",
            "ARMv6-M",
            "cortex_m0plus",
            "eabi",
            ("-mcpu=cortex-m0plus",),
            "CORTEX_M0",
            False,
            True,
        ),
        Core("cortex-m3", "Cortex-M3", "ARMv7-M", "cortex_m3", "eabi", ("-mcpu=cortex-m3",), "CORTEX_M3"),
        Core(
            name="cortex-m4",
            title="Cortex-M4F",
            isa="ARMv7E-M: DSP, single-precision FPU",
            zig_cpu="cortex_m4+vfp4d16sp",
            zig_abi="eabihf",
            gcc=("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
            unicorn="CORTEX_M4",
            fpu=True,
        ),
        Core(
            name="cortex-m7",
            title="Cortex-M7",
            isa="ARMv7E-M: DSP, FPU",
            zig_cpu="cortex_m7+fp_armv8d16sp",
            zig_abi="eabihf",
            gcc=("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
            unicorn="CORTEX_M7",
            fpu=True,
        ),
        Core(
            name="cortex-m33",
            title="Cortex-M33",
            isa="ARMv8-M Mainline: DSP, single-precision FPU",
            zig_cpu="cortex_m33+dsp+fp_armv8d16sp",
            zig_abi="eabihf",
            gcc=("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
            unicorn="CORTEX_M33",
            fpu=True,
        ),
        Core(
            name="riscv32",
            title="32-bit RISC-V",
            isa="RV32IMC, or more of it (ESP32-C3, C6, H2, P4 and others)",
            zig_cpu="generic_rv32+m+c",
            zig_abi="none",
            gcc=(),
            unicorn="SIFIVE_E31",
            aligned_only=True,
            family="riscv",
        ),
        Core("cortex-m55", "Cortex-M55", "ARMv8.1-M Mainline: DSP, FPU, Helium", "cortex_m55+mve_fp", "eabihf", _M55, "", True),
        # GCC before 13 has no name for it; what is built for the M55 runs on it.
        Core("cortex-m85", "Cortex-M85", "ARMv8.1-M Mainline: DSP, FPU, Helium", "cortex_m85+mve_fp", "eabihf", _M55, "", True),
    )
}
# Cores that edgekit generates sources for, but no start-up code, firmware or emulation: name -> (title, ISA).
SOURCE_ONLY: dict[str, tuple[str, str]] = {
    "xtensa-lx6": ("Xtensa LX6", "Xtensa LX6 (ESP32)"),
    "xtensa-lx7": ("Xtensa LX7", "Xtensa LX7 (ESP32-S2, ESP32-S3)"),
}
