/* needs: small exp_negative leading_zeros reciprocal high_mul divide_pot clamp_s8 */
/* Softmax of each row of `depth`; the output is 1/256 a step from -128. y may be x. */
EK_SMALL static void ek_softmax_s8(const int8_t *x, int32_t rows, int32_t depth, int32_t multiplier, int32_t left_shift, int32_t diff_min,
                          int8_t *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        int32_t most = x[0];
        uint32_t sum = 0;
        for (int32_t i = 1; i < depth; ++i) {
            most = x[i] > most ? x[i] : most;
        }
        for (int32_t i = 0; i < depth; ++i) {
            const int32_t diff = x[i] - most;
            if (diff >= diff_min) {
                sum += (uint32_t)ek_divide_pot(ek_exp_negative(ek_high_mul((int32_t)((uint32_t)diff << left_shift), multiplier)), 12);
            }
        }
        const int32_t leading = ek_leading_zeros(sum);
        const int32_t scale = ek_reciprocal((int32_t)((sum << leading) - 0x80000000u));
        const int32_t drop = 12 - leading + 23; /* the sum has 12 integer bits, the output 8 fraction bits */
        for (int32_t i = 0; i < depth; ++i) {
            const int32_t diff = x[i] - most;
            int32_t value = -128;
            if (diff >= diff_min) {
                const int32_t e = ek_exp_negative(ek_high_mul((int32_t)((uint32_t)diff << left_shift), multiplier));
                value = (drop > 31 ? 0 : ek_divide_pot(ek_high_mul(scale, e), drop)) - 128;
            }
            y[i] = ek_clamp_s8(value, -128, 127);
        }
        x += depth;
        y += depth;
    }
}
