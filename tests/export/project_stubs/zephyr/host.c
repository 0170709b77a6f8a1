#include <stdarg.h>
#include <stdio.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>

int64_t k_uptime_ticks(void)
{
    static int64_t now = 0;
    return now++;
}

void printk(const char *fmt, ...)
{
    va_list arguments;
    va_start(arguments, fmt);
    vprintf(fmt, arguments);
    va_end(arguments);
}
