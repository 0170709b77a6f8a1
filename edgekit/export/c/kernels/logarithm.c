/* needs: high_mul divide_pot leading_zeros shift_left_saturating reciprocal */
/* log(x / 2^19) * 2^26 for x from 2^19, in gemmlowp's fixed point: a power of two, moved by a quarter, and a rational function. */
static int32_t ek_logarithm(int32_t x)
{
    const int32_t quarter = (int32_t)1 << 23, root = 1518500250, fourth_root = 1805811301; /* of a half */
    const int32_t a = ek_leading_zeros((uint32_t)x), b = ek_leading_zeros((uint32_t)ek_high_mul(x, root)) - 1;
    const int32_t at_a = ek_shift_left_saturating(ek_high_mul((int32_t)((uint32_t)x << (a - 1)), root), 1);
    const int32_t at_b = ek_shift_left_saturating(x, b);
    const int32_t power_a = (12 - a) * ((int32_t)1 << 25) + quarter, power_b = (12 - b) * ((int32_t)1 << 25) - quarter;
    const int32_t power = power_a > power_b ? power_a : power_b;
    const int32_t r = at_a < at_b ? at_a : at_b;
    const int32_t middle = (int32_t)(((uint32_t)r + (uint32_t)fourth_root + 1u) >> 1);
    const int32_t q = 2 * (r - fourth_root);
    const int32_t square = ek_high_mul(q, q);
    const int32_t above = ek_high_mul(q, r) + ek_high_mul(ek_high_mul(q, square), 117049297);
    const int32_t below = ek_high_mul(middle, 1057819769 + q + ek_high_mul(square, 127690142)) + ek_high_mul(q, 638450708);
    const int32_t part = ek_high_mul(ek_divide_pot(above, 6), ek_reciprocal(below));
    return ek_shift_left_saturating(ek_high_mul(power, 1488522236) + part, 1);
}
