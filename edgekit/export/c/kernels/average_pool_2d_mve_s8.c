/* needs: vectors_mve pool_bounds clamp_s8 */
/* As ek_average_pool_2d_s8, 16 channels at a time, of windows of 255 places at most: their sums are int16. */
EK_APART static void ek_average_pool_2d_mve_s8(const int8_t *x, const ek_window *s, int32_t low, int32_t high, int8_t *y)
{
    const int32_t c = s->in_c;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            int32_t in[4];
            ek_pool_bounds(s, p, in);
            const int32_t wide = in[3] - in[2], count = (in[1] - in[0]) * wide;
            for (int32_t first = 0; first < c; first += 16) {
                const int32_t channels = c - first < 16 ? c - first : 16;
                const ek_pred mask = ek_vctp8q((uint32_t)channels);
                int32_t at = (in[0] * s->in_w + in[2]) * c + first;
                ek_v8 even = ek_vdupq_n_s16(0), odd = ek_vdupq_n_s16(0);
                for (int32_t i = in[0]; i < in[1]; ++i, at += (s->in_w - wide) * c) {
                    for (int32_t j = 0; j < wide; ++j, at += c) {
                        const ek_v16 v = ek_vldrbq_z_s8(x + at, mask);
                        even = ek_vaddq_s16(even, ek_vmovlbq_s8(v));
                        odd = ek_vaddq_s16(odd, ek_vmovltq_s8(v));
                    }
                }
                int16_t sums[2][8];
                ek_vstrhq_s16(sums[0], even);
                ek_vstrhq_s16(sums[1], odd);
                for (int32_t k = 0; k < channels; ++k) {
                    const int32_t sum = sums[k & 1][k >> 1];
                    *y++ = ek_clamp_s8((sum > 0 ? sum + count / 2 : sum - count / 2) / count, low, high);
                }
            }
        }
        x += s->in_h * s->in_w * c;
    }
}
