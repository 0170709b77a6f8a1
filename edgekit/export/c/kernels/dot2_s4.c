/* needs: quantized sum_2x2_s4 low_s4 finish_s8 */
/* As ek_dot2_s8 with weights of 4 bits: a byte holds those of two channels, the second's above (0 beside an odd last one). */
static void ek_dot2_s4(const int8_t *x0, const int8_t *x1, int32_t depth, const int8_t *w, int32_t channels,
                       const ek_quantized *q, int8_t *y0, int8_t *y1)
{
    const int32_t e = q->each;
    const int32_t *m = q->multiplier;
    const int8_t *r = q->shift;
    int32_t o = 0;
    for (; o + 2 <= channels; o += 2) {
        int32_t sum[4];
        ek_sum_2x2_s4(x0, x1, w, depth, q->bias + o, sum);
        const int32_t m0 = m[0], m1 = m[e], r0 = r[0], r1 = r[e];
        y0[o] = ek_finish_s8(sum[0], m0, r0, q);
        y0[o + 1] = ek_finish_s8(sum[1], m1, r1, q);
        y1[o] = ek_finish_s8(sum[2], m0, r0, q);
        y1[o + 1] = ek_finish_s8(sum[3], m1, r1, q);
        m += 2 * e;
        r += 2 * e;
        w += depth;
    }
    if (o < channels) {
        uint32_t s0 = (uint32_t)q->bias[o], s1 = s0;
        for (int32_t k = 0; k < depth; ++k) {
            const int32_t b = ek_low_s4(w[k]);
            s0 += (uint32_t)(x0[k] * b);
            s1 += (uint32_t)(x1[k] * b);
        }
        y0[o] = ek_finish_s8((int32_t)s0, *m, *r, q);
        y1[o] = ek_finish_s8((int32_t)s1, *m, *r, q);
    }
}
