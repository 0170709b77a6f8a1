/* Printing without the C library. SPDX-License-Identifier: 0BSD */
#include "console.h"

#ifdef CONSOLE_STDIO
#include <stdio.h>
#include <stdlib.h>

void console_putchar(char c)
{
    putchar(c);
}

void console_exit(int32_t status)
{
    exit((int)status);
}
#else
/* Arm semihosting (IHI 0084): SYS_WRITEC and SYS_EXIT_EXTENDED. */
static void semihost(uint32_t call, const void *argument)
{
    register uint32_t r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

__attribute__((weak)) void console_putchar(char c)
{
    semihost(0x03u, &c);
}

__attribute__((weak)) void console_exit(int32_t status)
{
    uint32_t block[2];
    block[0] = 0x20026u; /* the application ended */
    block[1] = (uint32_t)status;
    semihost(0x20u, block);
}
#endif

void console_text(const char *text)
{
    while (*text != '\0') {
        console_putchar(*text++);
    }
}
