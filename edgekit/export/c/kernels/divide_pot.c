/* x / 2^exponent, halves away from zero; exponent 0..31. */
static int32_t ek_divide_pot(int32_t x, int32_t exponent)
{
    const int32_t rest = (int32_t)((uint32_t)x & (((uint32_t)1 << exponent) - 1u));
    const int32_t half = (int32_t)((((uint32_t)1 << exponent) - 1u) >> 1) + (x < 0);
    return (x >> exponent) + (rest > half);
}
