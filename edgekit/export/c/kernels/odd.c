/* needs: simd even */
/* Bytes 1 and 3, as two int16. */
EK_EITHER static uint32_t ek_odd(uint32_t v)
{
#if EK_DSP
    uint32_t y;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(v));
    return y;
#else
    return ek_even(v >> 8);
#endif
}
