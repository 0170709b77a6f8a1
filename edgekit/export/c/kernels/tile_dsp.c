/* needs: packed simd even odd smlad */
EK_ALONE static void ek_@S(const ek_tile *t)
{
#if EK_DSP
    /* x r0, w r1, two words of x r2 r3, sums r4..r11, weights r12 lr; on the stack: x, x end, record, its end, y, stride, entry
       into the unrolled loop, zero point. The first words are added to the biases; then a round is four words of each pixel. With what stands
       around it, the loop stays within the 1 KiB of instructions that small flash caches hold. */
    __asm__ volatile(
        "push {r4-r11, lr}\n\t"
        "mov r0, %0\n\t"
        "ldm r0, {r2-r10}\n\t"
        "mov r1, r10\n\t"
        "adr r12, 2f\n\t"
        "mov r11, #@ROUND\n\t"
        "mla r8, r8, r11, r12\n\t"
        "orr r8, r8, #1\n\t"
        "push {r2-r9}\n"
        "1:\n\t"
        "ldr r3, [sp, #8]\n\t"
        "ldrd r4, r5, [r3]\n\t"
        "ldr r0, [sp]\n\t"
        @START
        @HEAD
        "ldr pc, [sp, #24]\n\t"
        ".balign 4\n"
        "2:\n\t"
        @ROUNDS
        "ldr r2, [sp, #4]\n\t"
        "cmp r0, r2\n\t"
        "bne 2b\n\t"
        "ldr r3, [sp, #8]\n\t"
        @LOAD
        "ldrd r0, r2, [r3, #8]\n\t"
        "ldr lr, [r3, #@SHIFT]\n\t"
        @APART
        ".irp a, r4, r6, r8, r10\n\t"
        "smmlar \\a, \\a, r0, \\a\n\t"
        @HALVES
        "asrs \\a, \\a, lr\n\t"
        @ZERO
        "ssat \\a, #8, \\a\n\t"
        ".endr\n\t"
        "ldr lr, [r3, #@SHIFT + 4]\n\t"
        ".irp a, r5, r7, r9, r11\n\t"
        "smmlar \\a, \\a, r2, \\a\n\t"
        @HALVES
        "asrs \\a, \\a, lr\n\t"
        @ZERO
        "ssat \\a, #8, \\a\n\t"
        ".endr\n\t"
        "ldrd r0, r2, [sp, #16]\n\t"
        "add r3, r3, #4 * @RECORD\n\t"
        "str r3, [sp, #8]\n\t"
        "bfi r6, r7, #8, #8\n\tstrh r6, [r0, r2]\n\t"
        "bfi r8, r9, #8, #8\n\tstrh r8, [r0, r2, lsl #1]\n\t"
        "add r2, r2, r2, lsl #1\n\t"
        "bfi r10, r11, #8, #8\n\tstrh r10, [r0, r2]\n\t"
        "bfi r4, r5, #8, #8\n\tstrh r4, [r0], #2\n\t"
        "str r0, [sp, #16]\n\t"
        "ldr r2, [sp, #12]\n\t"
        "cmp r3, r2\n\t"
        "bne 1b\n\t"
        "add sp, sp, #32\n\t"
        "pop {r4-r11, lr}"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory");
#else
    const int32_t *w = t->w;
    int8_t *y = t->y;
    for (const int32_t *record = t->record; record != t->record_end; record += @RECORD) {
        const uint32_t first = (uint32_t)ek_bias_packed(record, 0, @RECORD), second = (uint32_t)record[1] + (@WIDE ? 0 : first);
        uint32_t sum[4][2] = {{first, second}, {first, second}, {first, second}, {first, second}};
        @MODEL
        for (int32_t p = 0; p < 4; ++p) {
            const int32_t apart = @WIDE ? (int32_t)sum[p][1] : (int32_t)(sum[p][1] - sum[p][0]) >> 8;
            y[p * t->stride] = ek_finish_packed((int32_t)sum[p][0], record, 0, @RECORD, t->zero_point);
            y[p * t->stride + 1] = ek_finish_packed(apart, record, 1, @RECORD, t->zero_point);
        }
        y += 2;
    }
#endif
}
