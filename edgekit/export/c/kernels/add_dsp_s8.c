/* needs: simd rescaled clamp_s8 limit_s8 */
#ifndef EK_ADD_PACKED
#define EK_ADD_PACKED
typedef struct {
    int32_t b_zero, multiplier, right; /* b: its zero point times 2^21; brought to half of a's scale */
    int32_t a_zero;                    /* a's zero point times -2^19 */
    /* the multiplier twice, less 2^32 */
    int32_t out_multiplier, out_right, zero_point, low, high;
} ek_add_packed;
#endif

/* y = a + b, where a's scale is the larger; all of the same shape. y may be a or b. */
EK_ALONE static void ek_@S(const int8_t *a, const int8_t *b, int32_t count, const ek_add_packed *t, int8_t *y)
{
#if EK_DSP
    if (count > 0) {
        const struct {
            const int8_t *a, *b;
            int8_t *y;
            const int8_t *end;
            const ek_add_packed *t;
        } all = {a, b, y, a + count, t};
        __asm__ volatile(
            "push {r4-r11, lr}\n\t"
            "mov r12, %0\n\t"
            "ldm r12, {r0, r1, r2, r3, r12}\n\t"
            "mov lr, r3\n\t"
            "ldm r12, {r4-r10}\n\t"
            "adr r12, 1f\n\t"
            "sub r11, lr, r0\n\t"
            "tst r11, #1\n\t"
            "it ne\n\t"
            "addne r12, r12, #@HALF\n\t"
            "orr r12, r12, #1\n\t"
            "bx r12\n\t"
            ".balign 4\n"
            "1:\n\t"
            ".rept 2\n\t"
            "ldrsb r11, [r1], #1\n\t"
            "ldrsb r3, [r0], #1\n\t"
            "rsb r11, r4, r11, lsl #21\n\t"
            "smmulr r11, r11, r5\n\t"
            "add r11, r11, r11, asr #31\n\t"
            "asrs r11, r11, r6\n\t"
            "adc r11, r11, r7\n\t"
            "add r11, r11, r3, lsl #19\n\t"
            "smmlar r11, r11, r8, r11\n\t"
            @ROUND
            "asrs r11, r11, r9\n\t"
            "adc r11, r11, r10\n\t"
            "ssat r11, #8, r11\n\t"
            "strb r11, [r2], #1\n\t"
            ".endr\n\t"
            "cmp r0, lr\n\t"
            "bne 1b\n\t"
            "pop {r4-r11, lr}"
            :
            : "r"(&all)
            : "r0", "r1", "r2", "r3", "r12", "cc", "memory");
    }
#else
    for (int32_t i = 0; i < count; ++i) {
        const int32_t v = ek_rescaled(b[i] * (1 << 20) - t->b_zero / 2, t->multiplier, t->right);
        const int32_t sum = a[i] * (1 << 19) + t->a_zero + v;
        y[i] = ek_clamp_s8(ek_rescaled(sum, (int32_t)((uint32_t)t->out_multiplier >> 1), t->out_right) + t->zero_point, -128, 127);
    }
#endif
    ek_limit_s8(y, count, t->low, t->high);
}
