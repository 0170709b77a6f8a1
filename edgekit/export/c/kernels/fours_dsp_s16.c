/* needs: tile_s16 simd load2 load4 even odd smlad */
/* The same of `depth` times four products, the weights of each four in the order 0, 2, 1, 3; depth 1 and more. */
EK_ALONE static void ek_fours_dsp_s16(ek_tile_s16 *t)
{
#if EK_DSP
#define EK_FOUR \
    "ldr r9, [r2], #4\n\t" \
    "ldr r10, [r3], #4\n\t" \
    "ldr r11, [r0], #4\n\t" \
    "ldr r12, [r1], #4\n\t" \
    "sxtb16 lr, r9\n\t" \
    "smlad r5, r11, lr, r5\n\t" \
    "smlad r7, r12, lr, r7\n\t" \
    "sxtb16 lr, r10\n\t" \
    "smlad r6, r11, lr, r6\n\t" \
    "smlad r8, r12, lr, r8\n\t" \
    "ldr r11, [r0], #4\n\t" \
    "ldr r12, [r1], #4\n\t" \
    "sxtb16 r9, r9, ror #8\n\t" \
    "sxtb16 r10, r10, ror #8\n\t" \
    "smlad r5, r11, r9, r5\n\t" \
    "smlad r7, r12, r9, r7\n\t" \
    "smlad r6, r11, r10, r6\n\t" \
    "smlad r8, r12, r10, r8\n\t"
    __asm__ volatile(
        "mov r0, %0\n\t"
        "push {r0, r4-r11, lr}\n\t"
        "ldm r0, {r0-r8}\n\t"
        "tst r4, #1\n\t"
        "bne 2f\n"
        "1:\n\t" EK_FOUR
        "2:\n\t" EK_FOUR
        "subs r4, r4, #2\n\t"
        "bgt 1b\n\t"
        "ldr r9, [sp]\n\t"
        "add r9, r9, #20\n\t"
        "stm r9, {r5-r8}\n\t"
        "pop {r0, r4-r11, lr}"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory");
#undef EK_FOUR
#else
    for (int32_t k = 0; k < 4 * t->depth; k += 4) {
        for (int32_t i = 0; i < 4; ++i) {
            const int16_t *x = i < 2 ? t->x0 : t->x1;
            const uint32_t four = ek_load4((i % 2 == 0 ? t->w0 : t->w1) + k);
            const uint32_t first = ek_smlad(ek_load2(x + k), ek_even(four), (uint32_t)t->sum[i]);
            t->sum[i] = (int32_t)ek_smlad(ek_load2(x + k + 2), ek_odd(four), first);
        }
    }
#endif
}
