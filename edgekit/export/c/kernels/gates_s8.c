/* needs: quantized sum_1x4_s8 scale clamp_s16 */
/* y[gates][rows] = x[depth] . w[gates][rows][depth], rescaled (q: one a gate), to what y holds when `adding`; sums and totals
   saturate. In each gate two rows' weights lie in turn (an odd last one by itself). */
static void ek_gates_s8(const int8_t *x, int32_t depth, const int8_t *w, int32_t gates, int32_t rows, const ek_quantized *q,
                        int32_t adding, int8_t *spare, int16_t *y)
{
    (void)spare;
    for (; gates > 0; --gates, ++q) {
        for (int32_t o = 0; o < rows; o += 4) {
            const int32_t count = rows - o < 4 ? rows - o : 4;
            int32_t sum[4];
            if (count == 4) {
                ek_sum_1x4_s8(x, w, w + 2 * depth, depth, q->bias + o, sum);
            } else {
                for (int32_t i = 0; i < count; ++i) {
                    const int32_t step = (i | 1) < count ? 2 : 1; /* in a pair, or the odd last one */
                    const int8_t *v = w + i / 2 * 2 * depth + (i & 1);
                    uint32_t s = (uint32_t)q->bias[o + i];
                    for (int32_t k = 0; k < depth; ++k) {
                        s += (uint32_t)(x[k] * v[k * step]);
                    }
                    sum[i] = (int32_t)s;
                }
            }
            for (int32_t i = 0; i < count; ++i) {
                const int32_t at = q->each != 0 ? o + i : 0;
                const int32_t v = ek_clamp_s16(ek_scale(sum[i], q->multiplier[at], q->shift[at]));
                *y = (int16_t)(adding != 0 ? ek_clamp_s16(*y + v) : v);
                ++y;
            }
            w += count * depth;
        }
    }
}
