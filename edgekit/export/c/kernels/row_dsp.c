/* needs: simd packed@NEEDS */
/* One pixel, x[4 * words], times all channels. */
EK_SMALL static void ek_row_@P(const int8_t *x, int32_t words, const int32_t *w, const ek_packed *q, int32_t channels, int8_t *y)
{
    const int32_t *record = q->record;@LESS
    ek_sums t = {x, w, w, words, {0, 0, 0, 0}};
    for (const int8_t *end = y + channels; y != end; t.w01 += @FOUR) {
        const int32_t count = end - y < 4 ? (int32_t)(end - y) : 4;
        t.w23 = count > 2 ? t.w01 + @TWO : t.w01;
        for (int32_t i = 0; i < count; ++i) {
            t.sum[i] = ek_bias_packed(record + i / 2 * q->size, i & 1, q->size)@MINUS;
        }
        q->sums(&t);
        for (int32_t i = 0; i < count; ++i) {
            *y++ = ek_finish_packed(t.sum[i], record + i / 2 * q->size, i & 1, q->size, q->zero_point);
        }
        record += 2 * q->size;
    }
}
