// Runs the self-test at 115200 baud: README.md explains what it prints. SPDX-License-Identifier: 0BSD
@first@#include "selftest.h"

static void say(const char *text)
{
    Serial.print(text);
}

static uint32_t clock_us()
{
    return micros();
}

void setup()
{
    Serial.begin(115200);
    while (!Serial) {
    }
    (void)selftest(say, clock_us);
}

void loop()
{
}
