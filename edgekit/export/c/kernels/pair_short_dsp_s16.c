/* needs: simd load2 load4 even odd smlad */
/* As pair_short_s16, with the weights of each whole four in the order 0, 2, 1, 3. */
EK_ALONE static void ek_pair_short_dsp_s16(const int16_t *x, const int8_t *w0, const int8_t *w1, int32_t depth, int32_t *sum)
{
    const int16_t *const end = x + (depth & ~3);
    uint32_t s0 = (uint32_t)sum[0], s1 = (uint32_t)sum[1];
    while (x < end) {
        const uint32_t u = ek_load4(w0), v = ek_load4(w1), a = ek_load2(x), b = ek_load2(x + 2);
        s0 = ek_smlad(b, ek_odd(u), ek_smlad(a, ek_even(u), s0));
        s1 = ek_smlad(b, ek_odd(v), ek_smlad(a, ek_even(v), s1));
        x += 4;
        w0 += 4;
        w1 += 4;
    }
    for (int32_t k = 0; k < (depth & 3); ++k) {
        s0 += (uint32_t)(x[k] * w0[k]);
        s1 += (uint32_t)(x[k] * w1[k]);
    }
    sum[0] = (int32_t)s0;
    sum[1] = (int32_t)s1;
}
