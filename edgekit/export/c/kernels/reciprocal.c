/* needs: outline high_mul shift_left_saturating */
/* 1 / (1 + x) for x in [0, 1], no integer bits in or out: three Newton steps, as gemmlowp does. */
static int32_t ek_reciprocal(int32_t x)
{
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) >> 1);
    int32_t y = 1515870810 + ek_high_mul(half, -1010580540); /* 48/17 - 32/17 * half */
    EK_ROLLED
    for (int32_t i = 0; i < 3; ++i) {
        const int32_t error = ((int32_t)1 << 29) - ek_high_mul(half, y);
        y += ek_shift_left_saturating(ek_high_mul(y, error), 2);
    }
    return ek_shift_left_saturating(y, 1);
}
