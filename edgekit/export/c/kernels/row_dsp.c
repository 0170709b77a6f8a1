/* needs: simd packed */
/* One pixel, x[4 * words], times all channels. */
EK_SMALL static void ek_row_dsp(const int8_t *x, int32_t words, const int32_t *w, const ek_packed *q, int32_t channels, int8_t *y)
{
    const int32_t *record = q->record;
    ek_sums t = {x, w, w, words, {0, 0, 0, 0}};
    for (int32_t left = channels; left > 0; left -= 4) {
        const int32_t count = left < 4 ? left : 4;
        t.w01 = w;
        t.w23 = left > 2 ? w + 2 * words : w;
        for (int32_t i = 0; i < count; ++i) {
            t.sum[i] = ek_bias_packed(record + i / 2 * q->size, i & 1, q->size);
        }
        q->sums(&t);
        for (int32_t i = 0; i < count; ++i) {
            *y++ = ek_finish_packed(t.sum[i], record + i / 2 * q->size, i & 1, q->size, q->zero_point);
        }
        record += 2 * q->size;
        w += 4 * words;
    }
}
