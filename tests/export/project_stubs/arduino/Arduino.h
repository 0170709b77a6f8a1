// What sketches use of Arduino's core, with its types; unsigned long is 32 bits wide on a board. Written for edgekit's tests.
#pragma once
#include <stdint.h>
#include <stdio.h>

struct Console {
    void begin(unsigned long) {}
    explicit operator bool() const { return true; }
    size_t print(const char *text) { return fputs(text, stdout) < 0 ? 0u : 1u; }
};
extern Console Serial;
inline unsigned long micros() { return 0; }
