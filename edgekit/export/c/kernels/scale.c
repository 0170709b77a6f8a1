/* x * multiplier * 2^(shift - 31), rounded twice as gemmlowp does; shift -31..30, multiplier 0 or 2^30..2^31-1. */
static int32_t ek_scale(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t shifted = (int32_t)((uint32_t)x << left);
    const int32_t y = (int32_t)(((int64_t)shifted * multiplier + ((int64_t)1 << 30)) >> 31);
    if (right == 0) {
        return y;
    }
    /* Halves go away from zero: a negative y is moved down by one, then the last bit shifted out rounds up. */
    const int32_t z = (y + (y >> 31)) >> (right - 1);
    return (z >> 1) + (z & 1);
}
