/* Runs @name@ on the vectors in golden.h and prints what came out; README.md explains the lines.
 * Replace it by your application. SPDX-License-Identifier: 0BSD */
#include <stdint.h>

#include "@name@.h"
#include "console.h"
#include "golden.h"

static void copy(void *to, const void *from, uint32_t bytes)
{
    uint8_t *out = (uint8_t *)to;
    const uint8_t *in = (const uint8_t *)from;
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = in[i];
    }
}

@differ@
int main(void)
{
    int32_t failed = 0;
    console_text("edgekit 1 @name@ ");
    console_number(GOLDEN_COUNT);
    console_text("\n");
    for (int32_t i = 0; i < GOLDEN_COUNT; i++) {
        int32_t different = 0;
@feed@
        const int32_t status = @run@();
        const @type@ *const scores = @output@();
        int32_t best = 0;
        for (int32_t j = 1; j < @size@; j++) {
            best = scores[j] > scores[best] ? j : best;
        }
@compare@
        failed += status != 0 || different != 0;
        console_text("run ");
        console_number(i);
        console_text(" status ");
        console_number(status);
        console_text(" different ");
        console_number(different);
        console_text(" argmax ");
        console_number(best);
@label@
        console_text("\n");
    }
    console_text(failed == 0 ? "end pass\n" : "end fail\n");
    console_exit(failed == 0 ? 0 : 1);
    return failed == 0 ? 0 : 1;
}
