/* sum * multiplier / 2^32, rounded, kept within low..high. */
static int16_t ek_rescale_short(int32_t sum, int32_t multiplier, int32_t low, int32_t high)
{
    const int32_t v = (int32_t)(((int64_t)sum * multiplier + ((int64_t)1 << 31)) >> 32);
    return (int16_t)(v < low ? low : v > high ? high : v);
}
