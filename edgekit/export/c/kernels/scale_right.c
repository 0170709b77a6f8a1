/* x * multiplier * 2^(-32 - right), rounded twice as gemmlowp does; right 0..30 (one less than the right shift). */
static int32_t ek_scale_right(int32_t x, int32_t multiplier, int32_t right)
{
    const int32_t y = (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << 30)) >> 31);
    /* Halves go away from zero: a negative y is moved down by one, then the last bit shifted out rounds up. */
    const int32_t z = (y + (y >> 31)) >> right;
    return (z >> 1) + (z & 1);
}
