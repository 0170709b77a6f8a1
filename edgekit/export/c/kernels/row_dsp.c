/* needs: simd packed sums_dsp */
/* One pixel, x[4 * words], times all channels. */
EK_SMALL static void ek_row_dsp(const int8_t *x, int32_t words, const int32_t *w, const ek_packed *q, int32_t channels, int8_t *y)
{
    ek_sums t = {x, w, w, words, {0, 0, 0, 0}, EK_SUMS_ENTRY(words)};
    for (int32_t o = 0; o < channels; o += 4) {
        const int32_t *record = q->record + o / 2 * 5;
        t.w01 = w + o / 2 * 2 * words;
        t.w23 = o + 2 < channels ? t.w01 + 2 * words : t.w01;
        t.sum[0] = record[0];
        t.sum[1] = record[1];
        t.sum[2] = o + 2 < channels ? record[5] : 0;
        t.sum[3] = o + 2 < channels ? record[6] : 0;
        ek_sums_dsp(&t);
        for (int32_t i = 0; i < 4 && o + i < channels; ++i) {
            const int32_t *r = record + i / 2 * 5;
            y[o + i] = ek_finish_packed((uint32_t)t.sum[i], r, i & 1, q->zero_point);
        }
    }
}
