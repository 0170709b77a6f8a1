/* needs: quantized sum_2x2_@S @HALVESfinish_s8 */
/* y0[o] = x0[depth] . w[o][depth] and y1[o] = x1[depth] . w[o][depth]: two pixels by two channels at a time. Two channels'
   weights @LIE. */
static void ek_dot2_@S(const int8_t *x0, const int8_t *x1, int32_t depth, const int8_t *w, int32_t channels,
                       const ek_quantized *q, int8_t *y0, int8_t *y1)
{
    const int32_t e = q->each;
    const int32_t *m = q->multiplier;
    const int8_t *r = q->shift;
    int32_t o = 0;
    for (; o + 2 <= channels; o += 2) {
        int32_t sum[4];
        ek_sum_2x2_@S(x0, x1, w, depth, q->bias + o, sum);
        const int32_t m0 = m[0], m1 = m[e], r0 = r[0], r1 = r[e];
        y0[o] = ek_finish_s8(sum[0], m0, r0, q);
        y0[o + 1] = ek_finish_s8(sum[1], m1, r1, q);
        y1[o] = ek_finish_s8(sum[2], m0, r0, q);
        y1[o + 1] = ek_finish_s8(sum[3], m1, r1, q);
        m += 2 * e;
        r += 2 * e;
        w += @PAIR;
    }
    if (o < channels) {
        uint32_t s0 = (uint32_t)q->bias[o], s1 = s0;
        for (int32_t k = 0; k < depth; ++k) {
            s0 += (uint32_t)(x0[k] * @LAST);
            s1 += (uint32_t)(x1[k] * @LAST);
        }
        y0[o] = ek_finish_s8((int32_t)s0, *m, *r, q);
        y1[o] = ek_finish_s8((int32_t)s1, *m, *r, q);
    }
}
