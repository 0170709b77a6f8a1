/* table[513] at x, an int16, linear between its entries. */
static int32_t ek_between_s16(const int16_t *table, int32_t x)
{
    const int16_t *entry = table + 256 + (x >> 7);
    return entry[0] + (((entry[1] - entry[0]) * (x & 127) + 64) >> 7);
}
