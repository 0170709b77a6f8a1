/* needs: simd quantized load4 even odd smlad scale clamp_s16 */
/* y[gates][rows] = x[depth] . w[gates][rows][depth], rescaled (q: one a gate), to what y holds when `adding`; sums and totals
   saturate. */
EK_ALONE static void ek_gates_dsp_s8(const int8_t *x, int32_t depth, const int8_t *w, int32_t gates, int32_t rows,
                                     const ek_quantized *q, int32_t adding, int16_t *y)
{
    const int32_t words = depth & ~3;
    for (; gates > 0; --gates, ++q) {
        for (int32_t o = 0; o < rows; o += 2) {
            const int32_t second = o + 1 < rows; /* the odd last row runs beside itself */
            const int8_t *a = w, *b = second ? w + depth : w;
            uint32_t sum[2] = {(uint32_t)q->bias[o], (uint32_t)q->bias[o + second]};
            uint32_t s0 = sum[0], s1 = sum[1];
            int32_t k = 0;
            for (; k < words; k += 4) {
                const uint32_t four = ek_load4(x + k), w0 = ek_load4(a + k), w1 = ek_load4(b + k);
                const uint32_t low = ek_even(four), high = ek_odd(four);
                s0 = ek_smlad(low, ek_even(w0), s0);
                s1 = ek_smlad(low, ek_even(w1), s1);
                s0 = ek_smlad(high, ek_odd(w0), s0);
                s1 = ek_smlad(high, ek_odd(w1), s1);
            }
            for (; k < depth; ++k) {
                s0 += (uint32_t)(x[k] * a[k]);
                s1 += (uint32_t)(x[k] * b[k]);
            }
            sum[0] = s0;
            sum[1] = s1;
            for (int32_t i = 0; i <= second; ++i) {
                const int32_t at = q->each != 0 ? o + i : 0;
                const int32_t v = ek_clamp_s16(ek_scale((int32_t)sum[i], q->multiplier[at], q->shift[at]));
                *y = (int16_t)(adding != 0 ? ek_clamp_s16(*y + v) : v);
                ++y;
            }
            w += (1 + second) * depth;
        }
    }
}
