/* Runs the self-test: README.md explains what it prints. Replace it by your application. SPDX-License-Identifier: 0BSD */
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>

#include "selftest.h"

static void say(const char *text)
{
    printk("%s", text);
}

/* The cycle counter may wrap before 2^32 us do: not for inferences of some seconds, which the kernel's uptime counts. */
static uint32_t clock_us(void)
{
    return (uint32_t)k_ticks_to_us_floor64((uint64_t)k_uptime_ticks());
}

int main(void)
{
    return selftest(say, clock_us) == 0 ? 0 : 1;
}
