/* needs: quantized finish_s8 */
/* y0[o] = x0[depth] . w[o][depth] and y1[o] = x1[depth] . w[o][depth]: two pixels by two channels at a time. */
static void ek_dot2_s8(const int8_t *x0, const int8_t *x1, int32_t depth, const int8_t *w, int32_t channels,
                       const ek_quantized *q, int8_t *y0, int8_t *y1)
{
    int32_t o = 0;
    for (; o + 2 <= channels; o += 2) {
        const int8_t *w0 = w + o * depth;
        const int8_t *w1 = w0 + depth;
        uint32_t s00 = (uint32_t)q->bias[o], s10 = s00;
        uint32_t s01 = (uint32_t)q->bias[o + 1], s11 = s01;
        int32_t k = 0;
        for (; k + 2 <= depth; k += 2) {
            const int32_t a0 = x0[k], a1 = x1[k], b0 = w0[k], b1 = w1[k];
            s00 += (uint32_t)(a0 * b0);
            s01 += (uint32_t)(a0 * b1);
            s10 += (uint32_t)(a1 * b0);
            s11 += (uint32_t)(a1 * b1);
            const int32_t c0 = x0[k + 1], c1 = x1[k + 1], d0 = w0[k + 1], d1 = w1[k + 1];
            s00 += (uint32_t)(c0 * d0);
            s01 += (uint32_t)(c0 * d1);
            s10 += (uint32_t)(c1 * d0);
            s11 += (uint32_t)(c1 * d1);
        }
        if (k < depth) {
            const int32_t a0 = x0[k], a1 = x1[k], b0 = w0[k], b1 = w1[k];
            s00 += (uint32_t)(a0 * b0);
            s01 += (uint32_t)(a0 * b1);
            s10 += (uint32_t)(a1 * b0);
            s11 += (uint32_t)(a1 * b1);
        }
        y0[o] = ek_finish_s8(s00, q, o);
        y0[o + 1] = ek_finish_s8(s01, q, o + 1);
        y1[o] = ek_finish_s8(s10, q, o);
        y1[o + 1] = ek_finish_s8(s11, q, o + 1);
    }
    if (o < channels) {
        const int8_t *w0 = w + o * depth;
        uint32_t s0 = (uint32_t)q->bias[o], s1 = s0;
        for (int32_t k = 0; k < depth; ++k) {
            s0 += (uint32_t)(x0[k] * w0[k]);
            s1 += (uint32_t)(x1[k] * w0[k]);
        }
        y0[o] = ek_finish_s8(s0, q, o);
        y1[o] = ek_finish_s8(s1, q, o);
    }
}
