/* needs: small between_s16 leading_zeros scale within_s16 */
/* Softmax of each row of `depth` by tables of exp and 1 / (1 + x); y, 1/32768 a step, may be x. */
EK_SMALL static void ek_softmax_s16(const int16_t *x, int32_t rows, int32_t depth, int32_t multiplier, int32_t shift,
                                    const int16_t *exps, const int16_t *reciprocals, int16_t *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        int32_t most = x[0], sum = 0;
        for (int32_t i = 1; i < depth; ++i) {
            most = x[i] > most ? x[i] : most;
        }
        for (int32_t i = 0; i < depth; ++i) {
            y[i] = (int16_t)ek_between_s16(exps, ek_within_s16(ek_scale(x[i] - most, multiplier, shift) + 32767, -32768, 32767));
            sum += y[i];
        }
        const int32_t leading = ek_leading_zeros((uint32_t)sum), right = 31 - leading;
        const int32_t share = (int32_t)((((int64_t)sum << (leading - 1)) + 8192) >> 14);
        const int32_t inverse = ek_between_s16(reciprocals, ek_within_s16(share - 98304, -32768, 32767));
        for (int32_t i = 0; i < depth; ++i) {
            const int32_t v = (int32_t)(((int64_t)(y[i] * inverse) + ((int64_t)1 << (right - 1))) >> right);
            y[i] = ek_within_s16(v, 0, 32767);
        }
        x += depth;
        y += depth;
    }
}
