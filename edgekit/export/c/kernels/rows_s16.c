/* needs: quantized_s16 rescale_wide sums_@S pair_@S */
/* One or two rows x[depth] times w[channels][depth]; the rows' outputs lie `step` apart. */
static void ek_rows_@S(const int16_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels,
                       const ek_quantized_s16 *q, int16_t *y, int32_t step)
{
    const int32_t e = q->each;
    for (int32_t o = 0; o < channels; o += 2) {
        const int32_t more = o + 1 < channels; /* an odd last channel is its own pair */
        const int8_t *w1 = w + more * depth;
        const int32_t m0 = q->multiplier[o * e], m1 = q->multiplier[(o + more) * e];
        const int32_t r0 = q->shift[o * e], r1 = q->shift[(o + more) * e];
        int64_t sum[4];
        sum[0] = sum[2] = q->bias[o];
        sum[1] = sum[3] = q->bias[o + more];
        if (rows > 1) {
            ek_sums_@S(x, x + depth, w, w1, depth, q->run, sum);
            y[step + o] = ek_rescale_wide(sum[2], m0, r0, q->low, q->high);
            y[step + o + more] = ek_rescale_wide(sum[3], m1, r1, q->low, q->high);
        } else {
            ek_pair_@S(x, w, w1, depth, q->run, sum);
        }
        y[o] = ek_rescale_wide(sum[0], m0, r0, q->low, q->high);
        y[o + more] = ek_rescale_wide(sum[1], m1, r1, q->low, q->high);
        w += 2 * depth;
    }
}
