/* needs: simd load2 load4 even odd smlad */
/* As sums_s16, with the weights of each whole four in the order 0, 2, 1, 3. */
EK_ALONE static void ek_sums_dsp_s16(const int16_t *x0, const int16_t *x1, const int8_t *w0, const int8_t *w1, int32_t depth,
                                     int32_t run, int64_t *sum)
{
    int32_t left = depth;
    while (left > 0) {
        const int32_t part = left < run ? left : run;
        const int16_t *const end = x0 + (part & ~3);
        uint32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        while (x0 < end) {
            uint32_t u = ek_load4(w0), v = ek_load4(w1), a = ek_load2(x0), b = ek_load2(x1);
            uint32_t p = ek_even(u), q = ek_even(v);
            s0 = ek_smlad(a, p, s0);
            s1 = ek_smlad(a, q, s1);
            s2 = ek_smlad(b, p, s2);
            s3 = ek_smlad(b, q, s3);
            a = ek_load2(x0 + 2);
            b = ek_load2(x1 + 2);
            p = ek_odd(u);
            q = ek_odd(v);
            s0 = ek_smlad(a, p, s0);
            s1 = ek_smlad(a, q, s1);
            s2 = ek_smlad(b, p, s2);
            s3 = ek_smlad(b, q, s3);
            x0 += 4;
            x1 += 4;
            w0 += 4;
            w1 += 4;
        }
        for (int32_t k = 0; k < (part & 3); ++k) {
            s0 += (uint32_t)(x0[k] * w0[k]);
            s1 += (uint32_t)(x0[k] * w1[k]);
            s2 += (uint32_t)(x1[k] * w0[k]);
            s3 += (uint32_t)(x1[k] * w1[k]);
        }
        left -= part;
        sum[0] += (int32_t)s0;
        sum[1] += (int32_t)s1;
        sum[2] += (int32_t)s2;
        sum[3] += (int32_t)s3;
    }
}
