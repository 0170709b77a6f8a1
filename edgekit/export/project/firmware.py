"""Bare-metal start-up code and linker script, shared by exported projects and the emulator."""

from __future__ import annotations

from edgekit.cores import Core


def linker_script(flash_origin: int, flash: int, ram_origin: int, ram: int, stack_top: int | None = None) -> str:
    """A flat script (zig's linker finds no INCLUDE) with the board's real sizes, bytes: what does not fit fails the link.

    Read-only data comes last in flash and zero-initialised data last in RAM; the stack grows down from `stack_top`
    (default: the end of RAM).
    """
    top = ram_origin + ram if stack_top is None else stack_top
    return f"""\
/* Memory of the board: the link fails when the program does not fit. */
ENTRY(Reset_Handler)
MEMORY
{{
  FLASH (rx)  : ORIGIN = 0x{flash_origin:08x}, LENGTH = {flash}
  RAM   (rwx) : ORIGIN = 0x{ram_origin:08x}, LENGTH = {ram}
}}
_estack = 0x{top:08x};
SECTIONS
{{
  .vectors : {{ KEEP(*(.vectors)) }} > FLASH
  .text : {{ *(.text .text.*) }} > FLASH
  .data : ALIGN(4) {{ _sdata = .; *(.data .data.*) . = ALIGN(4); _edata = .; }} > RAM AT > FLASH
  _sidata = LOADADDR(.data);
  .rodata : ALIGN(4) {{ *(.rodata .rodata.*) }} > FLASH
  .bss (NOLOAD) : ALIGN(4) {{ _sbss = .; *(.bss .bss.* COMMON) . = ALIGN(4); _ebss = .; }} > RAM
  /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab* .comment) }}
}}
"""


def startup(core: Core) -> str:
    """What runs before main: on Arm the vector table and a Reset_Handler that enables the FPU where there is one; on RISC-V an
    entry that sets the stack pointer. Both copy .data and clear .bss."""
    if core.family == "riscv":
        return _RISCV
    fpu = ""
    if core.fpu:
        fpu = "    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;  /* CPACR: full access to the FPU */\n"
        fpu += '    __asm__ volatile("dsb\\n\\tisb" ::: "memory");\n'
    return f"""\
/* Start-up code for Arm {core.title}: the vector table and what runs before main. SPDX-License-Identifier: 0BSD */
#include <stdint.h>

extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss; /* from the linker script */
int main(void);
void Reset_Handler(void);
void Default_Handler(void);

void Reset_Handler(void)
{{
{fpu}    /* volatile: neither turned into a library call nor vectorised before the vector unit is on */
    const uint32_t *from = &_sidata;
    volatile uint32_t *to;
    for (to = &_sdata; to < &_edata;) *to++ = *from++;
    for (to = &_sbss; to < &_ebss;) *to++ = 0u;
    (void)main();
    for (;;) {{
    }}
}}

__attribute__((weak)) void Default_Handler(void)
{{
    for (;;) {{
    }}
}}

/* The 16 system entries; add the device's interrupts after them. */
__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {{
    (uintptr_t)&_estack,
    (uintptr_t)Reset_Handler,
    (uintptr_t)Default_Handler, /* NMI */
    (uintptr_t)Default_Handler, /* HardFault */
    (uintptr_t)Default_Handler, /* MemManage */
    (uintptr_t)Default_Handler, /* BusFault */
    (uintptr_t)Default_Handler, /* UsageFault */
    0u, 0u, 0u, 0u,
    (uintptr_t)Default_Handler, /* SVCall */
    (uintptr_t)Default_Handler, /* DebugMonitor */
    0u,
    (uintptr_t)Default_Handler, /* PendSV */
    (uintptr_t)Default_Handler, /* SysTick */
}};
"""


_RISCV = """\
/* Start-up code for 32-bit RISC-V: the entry and what runs before main. SPDX-License-Identifier: 0BSD */
#include <stdint.h>

extern uint32_t _sidata, _sdata, _edata, _sbss, _ebss; /* from the linker script */
int main(void);
void Reset_Handler(void);
void vectors(void);

__attribute__((naked, used, section(".vectors"))) void vectors(void)
{
    __asm__ volatile("la sp, _estack\\n\\tj Reset_Handler");
}

void Reset_Handler(void)
{
    /* volatile: not turned into a library call */
    const uint32_t *from = &_sidata;
    volatile uint32_t *to;
    for (to = &_sdata; to < &_edata;) *to++ = *from++;
    for (to = &_sbss; to < &_ebss;) *to++ = 0u;
    (void)main();
    for (;;) {
    }
}
"""
