/* needs: simd load4 even odd */
/* Lays four pixels' bytes, `step` apart, side by side as a tile's x: `words` words of each. */
EK_ALONE static void ek_lanes_dsp(const int8_t *x, int32_t step, int32_t words, uint32_t *tile)
{
#if EK_DSP
#define EK_FOUR \
    "ldr %[b], [%[x], %[s]]\n\t" \
    "ldr %[c], [%[x], %[s], lsl #1]\n\t" \
    "ldr %[d], [%[x], %[s3]]\n\t" \
    "ldr %[a], [%[x]], #4\n\t" \
    "sxtb16 %[e], %[a]\n\t" \
    "sxtb16 %[f], %[b]\n\t" \
    "strd %[e], %[f], [%[t]], #32\n\t" \
    "sxtb16 %[e], %[c]\n\t" \
    "sxtb16 %[f], %[d]\n\t" \
    "strd %[e], %[f], [%[t], #-24]\n\t" \
    "sxtb16 %[a], %[a], ror #8\n\t" \
    "sxtb16 %[b], %[b], ror #8\n\t" \
    "strd %[a], %[b], [%[t], #-16]\n\t" \
    "sxtb16 %[c], %[c], ror #8\n\t" \
    "sxtb16 %[d], %[d], ror #8\n\t" \
    "strd %[c], %[d], [%[t], #-8]\n\t"
    uint32_t a, b, c, d, e, f;
    __asm__ volatile(
        "tst %[n], #1\n\t"
        "bne 2f\n"
        "1:\n\t" EK_FOUR
        "2:\n\t" EK_FOUR
        "subs %[n], %[n], #2\n\t"
        "bgt 1b"
        : [x] "+&r"(x), [t] "+&r"(tile), [n] "+&r"(words), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e),
          [f] "=&r"(f)
        : [s] "r"(step), [s3] "r"(3 * step)
        : "cc", "memory");
#undef EK_FOUR
#else
    for (int32_t k = 0; k < words; ++k) {
        for (int32_t p = 0; p < 4; ++p) {
            const uint32_t four = ek_load4(x + p * step + 4 * k);
            tile[8 * k + p] = ek_even(four);
            tile[8 * k + 4 + p] = ek_odd(four);
        }
    }
#endif
}
