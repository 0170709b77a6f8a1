/* needs: simd */
/* Two int16, the first lowest. */
EK_EITHER static uint32_t ek_load2(const int16_t *p)
{
#if EK_DSP
    uint32_t word;
    __builtin_memcpy(&word, p, 4);
    return word;
#else
    return (uint32_t)(uint16_t)p[0] | (uint32_t)(uint16_t)p[1] << 16;
#endif
}
