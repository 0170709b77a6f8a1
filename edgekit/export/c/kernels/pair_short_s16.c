/* Adds the products of a row x with two channels w to the sums. */
static void ek_pair_short_s16(const int16_t *x, const int8_t *w0, const int8_t *w1, int32_t depth, int32_t *sum)
{
    int32_t s0 = sum[0], s1 = sum[1];
    for (int32_t k = 0; k < depth; ++k) {
        s0 += x[k] * w0[k];
        s1 += x[k] * w1[k];
    }
    sum[0] = s0;
    sum[1] = s1;
}
