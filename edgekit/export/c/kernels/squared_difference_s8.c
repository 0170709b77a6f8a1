/* needs: walk_next scale clamp_s8 */
typedef struct {
    int32_t a_zero, a_multiplier, a_shift;
    int32_t b_zero, b_multiplier, b_shift;
    int32_t multiplier, shift, zero_point;
} ek_squares;

/* y = (a - b)^2, each brought to a common scale first; y may be a or b where no axis is repeated. */
static void ek_squared_difference_s8(const int8_t *a, const int8_t *b, const ek_walk *w, const ek_squares *t, int8_t *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const int32_t u = ek_scale((a[at + i * w->a_step] - t->a_zero) * 128, t->a_multiplier, t->a_shift);
            const int32_t v = ek_scale((b[bt + i * w->b_step] - t->b_zero) * 128, t->b_multiplier, t->b_shift);
            *y++ = ek_clamp_s8(ek_scale((u - v) * (u - v), t->multiplier, t->shift) + t->zero_point, -128, 127);
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
