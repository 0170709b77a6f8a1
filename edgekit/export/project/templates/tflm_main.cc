// Runs the self-test: README.md explains what it prints. SPDX-License-Identifier: 0BSD
#include <cstdio>

#include "selftest.h"

static void say(const char *text)
{
    std::fputs(text, stdout);
}

int main()
{
    return selftest(say, nullptr) == 0 ? 0 : 1;
}
