/* Where main.c prints. SPDX-License-Identifier: 0BSD */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdint.h>

/* Both are weak: define your own to print to a UART and to stay in your program. On a Cortex-M the given ones use
 * semihosting, which needs a debugger or an emulator; with -DCONSOLE_STDIO they use the C library. */
void console_putchar(char c);
void console_exit(int32_t status);

void console_text(const char *text);

#endif
