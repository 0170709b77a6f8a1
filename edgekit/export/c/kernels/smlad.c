/* needs: simd */
/* sum plus the products of both int16 of a and b, modulo 2^32. */
EK_EITHER static uint32_t ek_smlad(uint32_t a, uint32_t b, uint32_t sum)
{
#if EK_DSP
    uint32_t y;
    __asm__("smlad %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(sum));
    return y;
#else
    const int32_t low = (int16_t)(a & 65535) * (int16_t)(b & 65535), high = (int16_t)(a >> 16) * (int16_t)(b >> 16);
    return sum + (uint32_t)low + (uint32_t)high;
#endif
}
