/* Adds the products of two rows x with two channels w to sum: row 0 with both, then row 1 with both. `run` products, a
   multiple of four, are summed in 32 bits. */
static void ek_sums_s16(const int16_t *x0, const int16_t *x1, const int8_t *w0, const int8_t *w1, int32_t depth, int32_t run,
                        int64_t *sum)
{
    for (int32_t k = 0; k < depth;) {
        const int32_t end = depth - k < run ? depth : k + run;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (; k < end; ++k) {
            s0 += x0[k] * w0[k];
            s1 += x0[k] * w1[k];
            s2 += x1[k] * w0[k];
            s3 += x1[k] * w1[k];
        }
        sum[0] += s0;
        sum[1] += s1;
        sum[2] += s2;
        sum[3] += s3;
    }
}
