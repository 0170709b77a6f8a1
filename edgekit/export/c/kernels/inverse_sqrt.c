/* needs: high_mul divide_pot shift_left_saturating */
/* 1 / sqrt(x) = result / 2^31 / 2^*right for 0 < x < 2^31 (0 counts as 1): five Newton steps, as TFLite does. */
static int32_t ek_inverse_sqrt(int32_t x, int32_t *right)
{
    int32_t y = (int32_t)1 << 28, shift = 11;
    if (x <= 1) {
        *right = 0;
        return INT32_MAX;
    }
    while (x >= (int32_t)1 << 29) {
        x >>= 2;
        ++shift;
    }
    while (x < (int32_t)1 << 27) {
        x <<= 2;
        --shift;
    }
    const int32_t half = ek_divide_pot(x >> 1, 1);
    for (int32_t i = 0; i < 5; ++i) {
        const int32_t cube = ek_shift_left_saturating(ek_high_mul(ek_high_mul(y, y), y), 6);
        y = ek_shift_left_saturating(ek_high_mul(y, (int32_t)3 << 27) - ek_high_mul(cube, half), 3);
    }
    y = ek_high_mul(y, 1518500250); /* sqrt(1/2) */
    if (shift < 0) {
        y = (int32_t)((uint32_t)y << -shift);
        shift = 0;
    }
    *right = shift;
    return y;
}
