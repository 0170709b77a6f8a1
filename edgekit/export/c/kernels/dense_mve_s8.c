/* needs: laned row_mve */
/* y[rows][channels] = x[rows][depth] times w[channels][depth]. scratch: the sums of 64 channels. */
static void ek_dense_mve_s8(const int8_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels, const ek_laned *q,
                            int8_t *scratch, int8_t *y)
{
    int32_t *sums = (int32_t *)(void *)scratch;
    ek_mve_row t;
    t.back = (depth + 15) / 16 * 16;
    t.ahead = 4 * depth - t.back;
    t.depth = depth;
    for (int32_t n = 0; n < rows; ++n, x += depth, y += channels) {
        t.x = x;
        for (int32_t first = 0; first < channels; first += 64) {
            const int32_t more = channels - first < 64 ? channels - first : 64, fours = more / 4 * 4;
            for (int32_t i = 0; i < 4; ++i) {
                t.w[i] = w + (first + i) * depth;
            }
            t.bias = q->bias + first;
            t.sums = sums;
            t.end = sums + fours;
            if (fours > 0) {
                ek_row_mve(&t);
            }
            if (fours < more) { /* the last one to three channels, and the last again */
                for (int32_t i = 0; i < 4; ++i) {
                    t.w[i] = w + (first + (fours + i < more ? fours + i : more - 1)) * depth;
                }
                t.bias = q->bias + first + fours;
                t.sums = sums + fours;
                t.end = t.sums + 1;
                ek_row_mve(&t);
            }
            const ek_sums_done done = {sums, q->multiplier + first, q->shift + first, y + first, more, 1, 0, q->zero_point, q->low,
                                       q->high};
            q->finish(&done);
        }
    }
}
