/* needs: simd load4 even odd smlad */
/* Six words a round, 84 bytes of code each; the first round may be shorter. */
#define EK_SUMS_ENTRY(words) ((6 - (words) % 6) % 6 * 84 + 1)
typedef struct {
    const int8_t *x;
    const int32_t *w01, *w23;
    int32_t words;
    int32_t sum[4];
    int32_t entry; /* into the unrolled loop: see EK_SUMS_ENTRY */
} ek_sums;

/* Adds x . w of two pairs of channels to sum, `words` words of four bytes; w in the order of a tile's. */
EK_ALONE static void ek_sums_dsp(ek_sums *t)
{
#if EK_DSP
    __asm__ volatile(
        "mov r0, %0\n\t"
        "push {r0, r4-r11, lr}\n\t"
        "ldr r12, [r0, #32]\n\t"
        "ldm r0, {r0-r7}\n\t"
        "adr r8, 1f\n\t"
        "add r12, r12, r8\n\t"
        "add r3, r0, r3, lsl #2\n\t"
        "bx r12\n\t"
        ".balign 4\n"
        "1:\n\t"
        ".rept 6\n\t"
        "ldr r8, [r0], #4\n\t"
        "ldrd r10, r11, [r1], #8\n\t"
        "sxtb16 r9, r8, ror #8\n\t"
        "sxtb16 r8, r8\n\t"
        "sxtb16 r12, r10\n\t"
        "sxtb16 r10, r10, ror #8\n\t"
        "smlad r4, r8, r12, r4\n\t"
        "smlad r5, r8, r10, r5\n\t"
        "sxtb16 r12, r11\n\t"
        "sxtb16 r11, r11, ror #8\n\t"
        "smlad r4, r9, r12, r4\n\t"
        "smlad r5, r9, r11, r5\n\t"
        "ldrd r10, r11, [r2], #8\n\t"
        "sxtb16 r12, r10\n\t"
        "sxtb16 r10, r10, ror #8\n\t"
        "smlad r6, r8, r12, r6\n\t"
        "smlad r7, r8, r10, r7\n\t"
        "sxtb16 r12, r11\n\t"
        "sxtb16 r11, r11, ror #8\n\t"
        "smlad r6, r9, r12, r6\n\t"
        "smlad r7, r9, r11, r7\n\t"
        ".endr\n\t"
        "cmp r0, r3\n\t"
        "bne 1b\n\t"
        "ldr r8, [sp]\n\t"
        "add r8, r8, #16\n\t"
        "stm r8, {r4-r7}\n\t"
        "pop {r0, r4-r11, lr}"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory");
#else
    uint32_t sum[4] = {(uint32_t)t->sum[0], (uint32_t)t->sum[1], (uint32_t)t->sum[2], (uint32_t)t->sum[3]};
    for (int32_t k = 0; k < t->words; ++k) {
        const uint32_t four = ek_load4(t->x + 4 * k);
        const int32_t *w[2] = {t->w01 + 2 * k, t->w23 + 2 * k};
        for (int32_t o = 0; o < 4; ++o) {
            const uint32_t w0 = (uint32_t)w[o / 2][0], w1 = (uint32_t)w[o / 2][1];
            sum[o] = ek_smlad(ek_even(four), o % 2 ? ek_odd(w0) : ek_even(w0), sum[o]);
            sum[o] = ek_smlad(ek_odd(four), o % 2 ? ek_odd(w1) : ek_even(w1), sum[o]);
        }
    }
    for (int32_t o = 0; o < 4; ++o) {
        t->sum[o] = (int32_t)sum[o];
    }
#endif
}
