/* needs: quantized sum_1x4_s8 finish_s8 finish4_s8 */
/* y[o] = x[depth] . w[o][depth] for every channel o. Two channels' weights lie in turn (an odd last one by itself). */
static void ek_dot_s8(const int8_t *x, int32_t depth, const int8_t *w, int32_t channels, const ek_quantized *q, int8_t *y)
{
    const int32_t e = q->each;
    const int32_t *m = q->multiplier;
    const int8_t *r = q->shift;
    int32_t o = 0;
    for (; o + 4 <= channels; o += 4) {
        int32_t sum[4];
        ek_sum_1x4_s8(x, w, w + 2 * depth, depth, q->bias + o, sum);
        ek_finish4_s8(sum, m, r, q, y + o);
        m += 4 * e;
        r += 4 * e;
        w += 4 * depth;
    }
    for (; o < channels; ++o) {
        const int32_t step = (o | 1) < channels ? 2 : 1; /* in a pair, or the odd last one */
        uint32_t sum = (uint32_t)q->bias[o];
        for (int32_t k = 0; k < depth; ++k) {
            sum += (uint32_t)(x[k] * w[k * step]);
        }
        y[o] = ek_finish_s8((int32_t)sum, *m, *r, q);
        m += e;
        r += e;
        w += (o & 1) == 0 ? 1 : 2 * depth - 1;
    }
}
