/* needs: walk_next leading_zeros reciprocal high_mul divide_pot clamp_s8 */
/* y = a / b through a fixed-point reciprocal, rescaled; x / 0 saturates by the sign of x, 0 / 0 is 0. */
static void ek_div_s8(const int8_t *a, int32_t a_zero, const int8_t *b, int32_t b_zero, const ek_walk *w, int32_t multiplier,
                      int32_t shift, int32_t zero_point, int32_t low, int32_t high, int8_t *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            int32_t u = a[at + i * w->a_step] - a_zero, v = b[bt + i * w->b_step] - b_zero, z = 0;
            if (v < 0) {
                u = -u;
                v = -v;
            }
            if (v == 0) {
                z = u > 0 ? 256 : u < 0 ? -256 : 0;
            } else {
                const int32_t zeros = ek_leading_zeros((uint32_t)v);
                const int32_t inverse = ek_reciprocal((int32_t)(((uint32_t)v << zeros) - 0x80000000u));
                const int32_t room = ek_leading_zeros((uint32_t)(u < 0 ? ~u : u)) - 1;
                const int32_t quotient = ek_high_mul((int32_t)((uint32_t)u << room), inverse);
                const int32_t right = 31 - zeros + room - shift;
                z = right > 31 ? 0 : ek_divide_pot(ek_high_mul(quotient, multiplier), right < 0 ? 0 : right);
            }
            *y++ = ek_clamp_s8(z + zero_point, low, high);
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
