/* x * multiplier * 2^(-32 - right), rounded twice as gemmlowp does; |x| < 2^30, right 0..30 (one less than the shift). */
static int32_t ek_scale_right(int32_t x, int32_t multiplier, int32_t right)
{
    const int32_t y = (int32_t)(((int64_t)(2 * x) * multiplier + ((int64_t)1 << 31)) >> 32);
    /* Halves go away from zero: a negative y is moved down by one, then the last bit shifted out rounds up. */
    const int32_t z = (y + (y >> 31)) >> right;
    return (z >> 1) + (z & 1);
}
