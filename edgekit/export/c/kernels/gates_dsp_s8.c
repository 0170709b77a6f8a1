/* needs: packed quantized @SUMS scale clamp_s16 */
/* y[gates][rows] = x[depth] . w[gates][rows][depth], rescaled (q: one a gate), to what y holds when `adding`; sums and totals
   saturate. w: words as `sums` takes them. spare: x filled up with zeros to a multiple of 4, when depth is none. */
EK_ALONE static void ek_@S(const int8_t *x, int32_t depth, const int8_t *w, int32_t gates, int32_t rows, const ek_quantized *q,
                           int32_t adding, int8_t *spare, int16_t *y)
{
    const int32_t words = (depth + 3) / 4;
    const int32_t *v = (const int32_t *)(const void *)w;
    ek_sums t = {x, v, v, words, {0, 0, 0, 0}};
    if (depth % 4 != 0) {
        for (int32_t k = 0; k < 4 * words; ++k) {
            spare[k] = k < depth ? x[k] : 0;
        }
        t.x = spare;
    }
    for (; gates > 0; --gates, ++q) {
        for (int32_t o = 0; o < rows; o += 4) {
            const int32_t count = rows - o < 4 ? rows - o : 4;
            t.w01 = v;
            t.w23 = count > 2 ? v + 2 * words : v;
            v = t.w23 + 2 * words;
            for (int32_t i = 0; i < count; ++i) {
                t.sum[i] = q->bias[o + i];
            }
            ek_@SUMS(&t);
            for (int32_t i = 0; i < count; ++i) {
                const int32_t at = q->each != 0 ? o + i : 0;
                const int32_t sum = ek_clamp_s16(ek_scale(t.sum[i], q->multiplier[at], q->shift[at]));
                *y = (int16_t)(adding != 0 ? ek_clamp_s16(*y + sum) : sum);
                ++y;
            }
        }
    }
}
