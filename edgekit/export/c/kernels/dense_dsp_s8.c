/* needs: simd quantized packed finish_s8@NEEDS */
/* y[rows][channels] = x[rows][depth] times w. scratch: a row, when depth is not a multiple of 4. */
EK_ALONE static void ek_dense_dsp_@S(const int8_t *x, int32_t rows, int32_t depth, const int32_t *w, int32_t channels,
                            const ek_quantized *q, void (*sums)(ek_sums *), int8_t *scratch, int8_t *y)
{
    const int32_t words = (depth + 3) / 4, e = q->each;
    ek_sums t = {x, w, w, words, {0, 0, 0, 0}};
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
        t.w23 = w;@LESS
        for (int32_t o = 0; o < channels; o += 4) {
            const int32_t count = channels - o < 4 ? channels - o : 4;
            t.w01 = t.w23;
            t.w23 += count > 2 ? @TWO : 0;
            for (int32_t i = 0; i < count; ++i) {
                t.sum[i] = q->bias[o + i]@MINUS;
            }
            sums(&t);
            for (int32_t i = 0; i < count; ++i) {
                *y++ = ek_finish_s8(t.sum[i], *m, *r, q);
                m += e;
                r += e;
            }
            t.w23 += @TWO;
        }
        x += depth;
    }
}
