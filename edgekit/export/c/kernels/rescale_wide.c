/* sum * multiplier / 2^shift, rounded, kept within low..high; |sum| < 2^47, shift 1..62. */
static int16_t ek_rescale_wide(int64_t sum, int32_t multiplier, int32_t shift, int32_t low, int32_t high)
{
    const int64_t v = (sum * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
    return (int16_t)(v < low ? low : v > high ? high : v);
}
