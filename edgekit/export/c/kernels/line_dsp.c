/* needs: simd rescaled clamp_s8 smlad */
#ifndef EK_LINE
#define EK_LINE
/* One line of a depthwise plane. x: [column / 2][3 rows], two columns a word; the rows lie in slots, and w in their order: for
   each, twice the weights 0 and 1, and 1 and 2. */
typedef struct {
    const uint32_t *x;
    int8_t *y;
    const int32_t *scale; /* bias (doubled), multiplier, right shift */
    int32_t bytes;        /* of x, for all pairs of outputs */
    int32_t odd;          /* one output more than pairs */
    int32_t step;         /* bytes from output to output */
    int32_t zero_point;
    const uint32_t *w;
} ek_line;
#endif

EK_ALONE static void ek_@S(const ek_line *t)
{
#if EK_DSP
    /* x r0, y r1, sums r2 r3, weights r4..r9, words of x r10 r11, step r12, zero point lr (where it is -128, x's end); the rest on the stack. An odd last
       output is computed as a pair whose second is written over by its first. */
    __asm__ volatile(
        "push {r4-r11, lr}\n\t"
        "mov r0, %0\n\t"
        "ldm r0, {r0, r1, r5-r10}\n\t"
        "ldm r5, {r3, r4, r5}\n\t"
        "mov r2, r3\n\t"
        "add r6, r6, r0\n\t"
        "push {r2-r7}\n\t"
        "mov r12, r8\n\t"
        "mov lr, @LAST\n\t"
        "ldm r10, {r4-r9}\n\t"
        "b 2f\n"
        "1:\n\t"
        "ldrd r2, r3, [sp]\n\t"
        @TAPS
        "ldrd r10, r11, [sp, #8]\n\t"
        ".irp a, r2, r3\n\t"
        "smmulr \\a, \\a, r10\n\t"
        @HALVES
        "asrs \\a, \\a, r11\n\t"
        @ZERO
        "ssat \\a, #8, \\a\n\t"
        ".endr\n\t"
        "strb r3, [r1, r12]\n\t"
        "strb r2, [r1]\n\t"
        "add r1, r1, r12, lsl #1\n"
        "2:\n\t"
        @END
        "bne 1b\n\t"
        "ldr r11, [sp, #20]\n\t"
        "cmp r11, #0\n\t"
        "beq 3f\n\t"
        "mov r12, #0\n\t"
        "str r12, [sp, #20]\n\t"
        @MORE
        "b 1b\n"
        "3:\n\t"
        "add sp, sp, #24\n\t"
        "pop {r4-r11, lr}"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory");
#else
    int8_t *y = t->y;
    const uint32_t *x = t->x, *end = x + t->bytes / 4;
    for (int32_t odd = 0; odd <= t->odd; ++odd) {
        for (; odd || x != end; x += @ADVANCE / 4) {
            for (int32_t o = 0; o < (odd ? 1 : 2); ++o) {
                uint32_t sum = (uint32_t)t->scale[0];
                for (int32_t i = 0; i < 3; ++i) {
                    const int32_t at = @STRIDE * o;
                    uint32_t taps[3];
                    for (int32_t j = 0; j < 3; ++j) {
                        taps[j] = x[(at + j) / 2 * 3 + i] >> ((at + j) % 2 * 16) & 65535;
                    }
                    sum = ek_smlad(taps[0] | taps[1] << 16, t->w[2 * i], sum);
                    sum = ek_smlad(taps[2] << 16, t->w[2 * i + 1], sum);
                }
                *y = ek_clamp_s8(ek_rescaled((int32_t)sum / 2, t->scale[1], t->scale[2]) + t->zero_point, -128, 127);
                y += t->step;
            }
            if (odd) {
                break;
            }
        }
    }
#endif
}
