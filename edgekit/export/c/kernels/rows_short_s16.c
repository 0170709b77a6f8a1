/* needs: short_s16 tile_s16 rescale_short sums_@S pair_@S */
/* One or two rows x[depth] times w[channels][depth]; the rows' outputs lie `step` apart. */
static void ek_rows_@S(const int16_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels, const ek_short_s16 *q,
                       int16_t *y, int32_t step)
{
    const int32_t e = q->each, low = q->low, high = q->high;
    int32_t o = 0;
    for (; rows == 1 && o + 1 < channels; o += 2) {
        int32_t sum[2] = {q->bias[o], q->bias[o + 1]};
        ek_pair_@S(x, w, w + depth, depth, sum);
        y[o] = ek_rescale_short(sum[0], q->multiplier[o * e], low, high);
        y[o + 1] = ek_rescale_short(sum[1], q->multiplier[(o + 1) * e], low, high);
        w += 2 * depth;
    }
    for (; o < channels; o += 2) {
        const int32_t more = o + 1 < channels; /* an odd last channel is its own pair */
        const int32_t m0 = q->multiplier[o * e], m1 = q->multiplier[(o + more) * e];
        const int32_t b0 = q->bias[o], b1 = q->bias[o + more];
        ek_tile_s16 t = {x, rows > 1 ? x + depth : x, w, w + more * depth, 0, {b0, b1, b0, b1}};
        ek_sums_@S(&t, depth);
        if (rows > 1) {
            y[step + o] = ek_rescale_short(t.sum[2], m0, low, high);
            y[step + o + more] = ek_rescale_short(t.sum[3], m1, low, high);
        }
        y[o] = ek_rescale_short(t.sum[0], m0, low, high);
        y[o + more] = ek_rescale_short(t.sum[1], m1, low, high);
        w += 2 * depth;
    }
}
