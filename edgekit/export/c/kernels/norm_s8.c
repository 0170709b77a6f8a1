/* needs: norm_terms inverse_sqrt scale clamp_s8 */
/* y = (x - mean) / sqrt(variance) * gain + offset; x[rows][pixels][groups][depth], a row and group at a time; y may be x. */
static void ek_norm_s8(const int8_t *x, int32_t rows, int32_t pixels, int32_t groups, int32_t depth, const ek_norm_terms *t,
                       int8_t *y)
{
    const int32_t line = groups * depth, count = pixels * depth;
    for (int32_t r = 0; r < rows; ++r) {
        for (int32_t g = 0; g < groups; ++g) {
            const int8_t *from = x + g * depth;
            int8_t *to = y + g * depth;
            int32_t sum = 0, right = 0;
            uint32_t squares = 0;
            for (int32_t p = 0; p < pixels; ++p) {
                for (int32_t k = 0; k < depth; ++k) {
                    const int32_t v = from[p * line + k];
                    sum += v;
                    squares += (uint32_t)(v * v);
                }
            }
            const int32_t centre = t->centred ? sum : count * t->zero;
            int64_t spread = (int64_t)count * squares + (int64_t)centre * (centre - 2 * sum) + t->floor;
            int32_t drop = 0;
            while (spread >= (int64_t)1 << 31) {
                spread >>= 2;
                ++drop;
            }
            const int32_t multiplier = ek_inverse_sqrt((int32_t)spread, &right);
            const int32_t shift = 18 - right - drop;
            const int32_t *gain = t->gain + t->each * g * depth, *offset = t->offset + t->each * g * depth;
            for (int32_t p = 0; p < pixels; ++p) {
                for (int32_t k = 0; k < depth; ++k) {
                    const int32_t z = ek_scale(count * from[p * line + k] - centre, multiplier, shift);
                    const int32_t c = t->each * k;
                    const int64_t sum64 = (int64_t)z * gain[c] + (int64_t)((uint64_t)(int64_t)offset[c] << (t->shift - 16));
                    const int64_t value = sum64 >> t->shift;
                    to[p * line + k] = ek_clamp_s8(value < -128 ? -128 : value > 127 ? 127 : (int32_t)value, -128, 127);
                }
            }
        }
        x += pixels * line;
        y += pixels * line;
    }
}
