/* needs: simd */
/* Bytes 0 and 2, as two int16. */
EK_EITHER static uint32_t ek_even(uint32_t v)
{
#if EK_DSP
    uint32_t y;
    __asm__("sxtb16 %0, %1" : "=r"(y) : "r"(v));
    return y;
#else
    return (uint32_t)(uint16_t)(int8_t)(v & 255) | (uint32_t)(uint16_t)(int8_t)(v >> 16 & 255) << 16;
#endif
}
