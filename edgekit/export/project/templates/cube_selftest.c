/* Runs the self-test on the UART that SELFTEST_UART names. SPDX-License-Identifier: 0BSD
 * Call @name@_selftest() once from main(), in USER CODE BEGIN 2, after the clocks and the UART are set up. */
#include <string.h>

#include "main.h"
#include "selftest.h"
#include "@name@_selftest.h"

#ifndef SELFTEST_UART
#define SELFTEST_UART huart2 /* what CubeMX calls the UART of the debugger's serial port: huart2, huart3, hlpuart1 */
#endif
extern UART_HandleTypeDef SELFTEST_UART;

static void say(const char *text)
{
    (void)HAL_UART_Transmit(&SELFTEST_UART, (uint8_t *)(uintptr_t)text, (uint16_t)strlen(text), 1000u);
}

/* In steps of a millisecond: HAL's tick. */
static uint32_t clock_us(void)
{
    return HAL_GetTick() * 1000u;
}

@extern_c@int32_t @name@_selftest(void)
{
    return selftest(say, clock_us);
}
