/* needs: interpolated */
/* sigmoid * 2^15 of x in such steps. */
static int32_t ek_sigmoid_s16(const uint16_t *table, int32_t x)
{
    const int32_t value = ek_interpolated(table, x < 0 ? -x : x, 9, 0x7FFF * 1024);
    return (x >= 0 ? value + 512 : 33554432 - value + 511) >> 10;
}
