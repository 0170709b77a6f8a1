/* needs: simd smlad */
/* Weights of 4 bits are stored as 8 more than they are. Before a tile's x, for pixels 1, 2, 3 and 0: what that adds to the sum of
   a channel, negative, and 257 times it, for two channels in a word. */
EK_ALONE static void ek_offsets_s4_dsp(uint32_t *tile, int32_t words)
{
    uint32_t sum[4];
#if EK_DSP
    const uint32_t *ends[2] = {tile, tile + 8 * words};
    __asm__ volatile(
        "push {r4-r11}\n\t"
        "mov r0, %0\n\t"
        "mov r2, %1\n\t"
        "ldrd r0, r1, [r0]\n\t"
        "mov r11, #0x00010001\n\t"
        "mov r3, #0\n\tmov r4, #0\n\tmov r5, #0\n\tmov r6, #0\n"
        "1:\n\t"
        ".rept 2\n\t"
        "ldm r0!, {r7-r10}\n\t"
        "smlad r3, r7, r11, r3\n\t"
        "smlad r4, r8, r11, r4\n\t"
        "smlad r5, r9, r11, r5\n\t"
        "smlad r6, r10, r11, r6\n\t"
        ".endr\n\t"
        "cmp r0, r1\n\t"
        "bne 1b\n\t"
        "stm r2, {r3-r6}\n\t"
        "pop {r4-r11}"
        :
        : "r"(ends), "r"(sum)
        : "r0", "r1", "r2", "r3", "cc", "memory");
#else
    for (int32_t p = 0; p < 4; ++p) {
        sum[p] = 0;
        for (int32_t k = 0; k < 2 * words; ++k) {
            sum[p] = ek_smlad(tile[4 * k + p], 0x00010001u, sum[p]);
        }
    }
#endif
    for (int32_t p = 0; p < 4; ++p) {
        tile[2 * ((p + 3) & 3) - 8] = 0u - 8 * sum[p];
        tile[2 * ((p + 3) & 3) - 7] = 0u - 8 * 257 * sum[p];
    }
}
