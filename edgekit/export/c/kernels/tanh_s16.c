/* needs: interpolated */
/* tanh * 2^15 of x in such steps. */
static int32_t ek_tanh_s16(const uint16_t *table, int32_t x)
{
    const int32_t value = ek_interpolated(table, x < 0 ? -x : x, 8, 0xFFFF * 256);
    return (x >= 0 ? value - 8388608 + 128 : 8388608 - value + 127) >> 8;
}
