/* needs: packed simd load4 even odd smlad */
/* Adds x . w of two pairs of channels to sum, `words` words of four bytes; w in the order of a tile's. Four words a round; the
   first round may be shorter. */
EK_ALONE static void ek_@S(ek_sums *t)
{
#if EK_DSP
    __asm__ volatile(
        "mov r0, %0\n\t"
        "push {r0, r4-r11, lr}\n\t"
        "ldm r0, {r0-r7}\n\t"
        @JOIN
        "rsb r8, r3, #0\n\t"
        "and r8, r8, #3\n\t"
        "mov r9, #@ROUND\n\t"
        "adr r12, 1f\n\t"
        "mla r12, r8, r9, r12\n\t"
        "orr r12, r12, #1\n\t"
        "add r3, r0, r3, lsl #2\n\t"
        "bx r12\n\t"
        ".balign 4\n"
        "1:\n\t"
        ".rept 4\n\t"
        "ldr r8, [r0], #4\n\t"
        @FIRST
        "sxtb16 r9, r8, ror #8\n\t"
        "sxtb16 r8, r8\n\t"
        @TWO
        @SECOND
        @FOUR
        ".endr\n\t"
        "cmp r0, r3\n\t"
        "bne 1b\n\t"
        "ldr r8, [sp]\n\t"
        @APART
        "add r8, r8, #16\n\t"
        "stm r8, {r4-r7}\n\t"
        "pop {r0, r4-r11, lr}"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory");
#else
    uint32_t sum[4] = {(uint32_t)t->sum[0], (uint32_t)t->sum[1], (uint32_t)t->sum[2], (uint32_t)t->sum[3]};
    for (int32_t o = 1; !@WIDE && o < 4; o += 2) {
        sum[o] = sum[o] * 256 + sum[o - 1];
    }
    for (int32_t k = 0; k < t->words; ++k) {
        const uint32_t four = ek_load4(t->x + 4 * k);
        @MODEL
    }
    for (int32_t o = 0; o < 4; ++o) {
        t->sum[o] = @WIDE || o % 2 == 0 ? (int32_t)sum[o] : (int32_t)(sum[o] - sum[o - 1]) >> 8;
    }
#endif
}
