/* Runs the self-test: README.md explains what it prints. Replace it by your application. SPDX-License-Identifier: 0BSD */
#include "console.h"
#include "selftest.h"

int main(void)
{
    const int32_t failed = selftest(console_text, 0);
    console_exit(failed == 0 ? 0 : 1);
    return failed == 0 ? 0 : 1;
}
