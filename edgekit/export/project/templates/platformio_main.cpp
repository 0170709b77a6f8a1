// Runs the self-test: README.md explains what it prints. Replace it by your application. SPDX-License-Identifier: 0BSD
#ifdef ARDUINO
#include <Arduino.h>

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
#else
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
#endif
