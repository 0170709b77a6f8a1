/* needs: simd */
/* Four bytes, the first lowest; any address. */
EK_EITHER static uint32_t ek_load4(const int8_t *p)
{
#if EK_DSP
    uint32_t word;
    __builtin_memcpy(&word, p, 4);
    return word;
#else
    return (uint32_t)(uint8_t)p[0] | (uint32_t)(uint8_t)p[1] << 8 | (uint32_t)(uint8_t)p[2] << 16 | (uint32_t)(uint8_t)p[3] << 24;
#endif
}
