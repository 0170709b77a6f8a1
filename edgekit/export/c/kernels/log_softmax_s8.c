/* needs: small exp_negative logarithm scale divide_pot clamp_s8 */
/* Logarithm of the softmax of each row of up to 4095; the output is 1/16 a step from 127 down. y may be x. */
EK_SMALL static void ek_log_softmax_s8(const int8_t *x, int32_t rows, int32_t depth, int32_t multiplier, int32_t shift, int32_t diff_min,
                              int32_t back, int32_t back_shift, int8_t *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        int32_t most = x[0], sum = 0;
        for (int32_t i = 1; i < depth; ++i) {
            most = x[i] > most ? x[i] : most;
        }
        for (int32_t i = 0; i < depth; ++i) {
            const int32_t diff = x[i] - most;
            if (diff >= diff_min) {
                sum += ek_divide_pot(ek_exp_negative(ek_scale(diff, multiplier, shift)), 12);
            }
        }
        const int32_t down = ek_logarithm(sum);
        const int32_t least = ek_scale(down + INT32_MIN, back, back_shift);
        for (int32_t i = 0; i < depth; ++i) {
            const int32_t diff = x[i] - most;
            int32_t value = -128;
            if (diff >= diff_min && diff > least) {
                value = ek_divide_pot((int32_t)((uint32_t)ek_scale(diff, multiplier, shift) - (uint32_t)down), 22) + 127;
            }
            y[i] = ek_clamp_s8(value, -128, 127);
        }
        x += depth;
        y += depth;
    }
}
