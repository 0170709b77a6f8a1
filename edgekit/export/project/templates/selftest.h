/* Runs @name@ on the vectors in golden.h and says what came out, one line each. Include it in one file, and call
 * selftest(say, clock_us). SPDX-License-Identifier: 0BSD */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <stdint.h>
@includes@
#include "golden.h"

static void selftest_copy(void *to, const void *from, uint32_t bytes)
{
    uint8_t *out = (uint8_t *)to;
    const uint8_t *in = (const uint8_t *)from;
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = in[i];
    }
}

static void selftest_field(void (*say)(const char *text), const char *before, int32_t value)
{
    char digits[12];
    int32_t at = 11;
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + (char)(rest % 10u));
        rest /= 10u;
    } while (rest != 0u);
    if (value < 0) {
        digits[--at] = '-';
    }
    say(before);
    say(&digits[at]);
}

@differ@@setup@/* say: prints a text. clock_us: a free-running count of microseconds, or 0 where there is none.
 * Returns how many vectors failed, or -1. */
static int32_t selftest(void (*say)(const char *text), uint32_t (*clock_us)(void))
{
    int32_t failed = 0;
    selftest_field(say, "edgekit 1 @name@ ", GOLDEN_COUNT);
    say("\ngolden " GOLDEN_DIGEST "\n");
#ifdef SELFTEST_CYCLES
    selftest_field(say, "clock ", (int32_t)SELFTEST_CLOCK_HZ);
    say("\n");
#endif
@begin@    for (int32_t i = 0; i < GOLDEN_COUNT; i++) {
        int32_t different = 0;
@feed@
        const uint32_t start = clock_us != 0 ? clock_us() : 0u;
#ifdef SELFTEST_CYCLES
        const uint32_t first = SELFTEST_CYCLES();
        const int32_t status = @run@;
        const uint32_t cycles = SELFTEST_CYCLES() - first;
#else
        const int32_t status = @run@;
#endif
        const uint32_t taken = clock_us != 0 ? clock_us() - start : 0u;
        const @type@ *const scores = @output@;
        int32_t best = 0;
        for (int32_t j = 1; j < @size@; j++) {
            best = scores[j] > scores[best] ? j : best;
        }
@compare@
        failed += status != 0 || different != 0;
        selftest_field(say, "run ", i);
        selftest_field(say, " status ", status);
        selftest_field(say, " different ", different);
        if (clock_us != 0) {
            selftest_field(say, " us ", (int32_t)taken);
        }
#ifdef SELFTEST_CYCLES
        selftest_field(say, " cycles ", (int32_t)cycles);
#endif
        selftest_field(say, " argmax ", best);
@label@        say("\n");
    }
    say(failed == 0 ? "end pass\n" : "end fail\n");
    return failed;
}

#endif
