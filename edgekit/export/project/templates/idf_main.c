/* Runs the self-test: README.md explains what it prints. Replace it by your application. SPDX-License-Identifier: 0BSD */
#include <stdio.h>

#include "esp_timer.h"
#include "selftest.h"

static void say(const char *text)
{
    fputs(text, stdout);
}

static uint32_t clock_us(void)
{
    return (uint32_t)esp_timer_get_time();
}

@extern_c@void app_main(void)
{
    (void)selftest(say, clock_us);
    fflush(stdout);
}
