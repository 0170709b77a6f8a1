/* needs: quantized sum_1x4_s4 low_s4 finish_s8 finish4_s8 */
/* As ek_dot_s8 with weights of 4 bits: a byte holds those of two channels, the second's above (0 beside an odd last one). */
static void ek_dot_s4(const int8_t *x, int32_t depth, const int8_t *w, int32_t channels, const ek_quantized *q, int8_t *y)
{
    const int32_t e = q->each;
    const int32_t *m = q->multiplier;
    const int8_t *r = q->shift;
    int32_t o = 0;
    for (; o + 4 <= channels; o += 4) {
        int32_t sum[4];
        ek_sum_1x4_s4(x, w, w + depth, depth, q->bias + o, sum);
        ek_finish4_s8(sum, m, r, q, y + o);
        m += 4 * e;
        r += 4 * e;
        w += 2 * depth;
    }
    for (; o < channels; ++o) {
        uint32_t sum = (uint32_t)q->bias[o];
        for (int32_t k = 0; k < depth; ++k) {
            sum += (uint32_t)(x[k] * ((o & 1) == 0 ? ek_low_s4(w[k]) : w[k] >> 4));
        }
        y[o] = ek_finish_s8((int32_t)sum, *m, *r, q);
        m += e;
        r += e;
        w += (o & 1) * depth;
    }
}
