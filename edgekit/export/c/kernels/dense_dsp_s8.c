/* needs: quantized sums_dsp finish_s8 */
/* y[rows][channels] = x[rows][depth] times w. scratch: a row, when depth is not a multiple of 4. */
static void ek_dense_dsp_s8(const int8_t *x, int32_t rows, int32_t depth, const int32_t *w, int32_t channels,
                            const ek_quantized *q, int8_t *scratch, int8_t *y)
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
        for (int32_t o = 0; o < channels; o += 4) {
            t.w01 = w + o / 2 * 2 * words;
            t.w23 = o + 2 < channels ? t.w01 + 2 * words : t.w01;
            ek_sums_dsp(&t);
            for (int32_t i = 0; i < 4 && o + i < channels; ++i) {
                const int32_t c = o + i;
                const int32_t sum = (int32_t)((uint32_t)t.sum[i] + (uint32_t)q->bias[c]);
                *y++ = ek_finish_s8(sum, q->multiplier[c * e], q->shift[c * e], q);
            }
        }
        x += depth;
    }
}
