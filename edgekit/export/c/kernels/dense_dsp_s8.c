/* needs: simd quantized sums_dsp finish_s8 */
/* y[rows][channels] = x[rows][depth] times w. scratch: a row, when depth is not a multiple of 4. */
EK_ALONE static void ek_dense_dsp_s8(const int8_t *x, int32_t rows, int32_t depth, const int32_t *w, int32_t channels,
                            const ek_quantized *q, int8_t *scratch, int8_t *y)
{
    const int32_t words = (depth + 3) / 4, e = q->each;
    ek_sums t = {x, w, w, words, {0, 0, 0, 0}, EK_SUMS_ENTRY(words)};
    for (int32_t n = 0; n < rows; ++n) {
        t.x = x;
        if (depth % 4 != 0) {
            for (int32_t k = 0; k < 4 * words; ++k) {
                scratch[k] = k < depth ? x[k] : 0;
            }
            t.x = scratch;
        }
        const int32_t *m = q->multiplier;
        const int8_t *r = q->shift;
        t.w23 = w;
        for (int32_t o = 0; o < channels; o += 4) {
            const int32_t four = o + 4 <= channels;
            t.w01 = t.w23;
            t.w23 += o + 2 < channels ? 2 * words : 0;
            if (four) {
                const int32_t *bias = q->bias + o;
                t.sum[0] = bias[0];
                t.sum[1] = bias[1];
                t.sum[2] = bias[2];
                t.sum[3] = bias[3];
                ek_sums_dsp(&t);
                y[0] = ek_finish_s8(t.sum[0], m[0], r[0], q);
                y[1] = ek_finish_s8(t.sum[1], m[e], r[e], q);
                y[2] = ek_finish_s8(t.sum[2], m[2 * e], r[2 * e], q);
                y[3] = ek_finish_s8(t.sum[3], m[3 * e], r[3 * e], q);
                y += 4;
                m += 4 * e;
                r += 4 * e;
                t.w23 += 2 * words;
                continue;
            }
            for (int32_t i = 0; o + i < channels; ++i) {
                t.sum[i] = q->bias[o + i];
            }
            ek_sums_dsp(&t);
            for (int32_t i = 0; o + i < channels; ++i) {
                *y++ = ek_finish_s8(t.sum[i], m[i * e], r[i * e], q);
            }
        }
        x += depth;
    }
}
