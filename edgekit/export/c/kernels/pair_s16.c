/* Adds the products of a row x with two channels w to sum; run as in sums_s16. */
static void ek_pair_s16(const int16_t *x, const int8_t *w0, const int8_t *w1, int32_t depth, int32_t run, int64_t *sum)
{
    for (int32_t k = 0; k < depth;) {
        const int32_t end = depth - k < run ? depth : k + run;
        int32_t s0 = 0, s1 = 0;
        for (; k < end; ++k) {
            s0 += x[k] * w0[k];
            s1 += x[k] * w1[k];
        }
        sum[0] += s0;
        sum[1] += s1;
    }
}
