/* needs: walk_next scale clamp_s8 */
/* y = a where a is not below its zero point, else a * slope; each side with its own scale. y may be a. */
static void ek_prelu_s8(const int8_t *a, int32_t a_zero, const int8_t *slope, int32_t slope_zero, const ek_walk *w,
                        int32_t multiplier, int32_t shift, int32_t slope_multiplier, int32_t slope_shift, int32_t zero_point,
                        int8_t *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const int32_t u = a[at + i * w->a_step] - a_zero;
            const int32_t v = slope[bt + i * w->b_step] - slope_zero;
            const int32_t z = u >= 0 ? ek_scale(u, multiplier, shift) : ek_scale(u * v, slope_multiplier, slope_shift);
            *y++ = ek_clamp_s8(z + zero_point, -128, 127);
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
