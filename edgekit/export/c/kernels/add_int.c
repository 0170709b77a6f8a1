/* needs: walk_next scale @CLAMP */
typedef struct {
    int32_t a_zero, a_multiplier, a_shift;
    int32_t b_zero, b_multiplier, b_shift;
    int32_t left_shift, multiplier, shift, zero_point, low, high;
} ek_@KIND_terms;

/* y = a @SIGN b, each brought to a common scale first; y may be a or b where no axis is repeated. */
static void ek_@OP_@S(const @T *a, const @T *b, const ek_walk *w, const ek_@KIND_terms *t, @T *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const int32_t u = (a[at + i * w->a_step] - t->a_zero) * ((int32_t)1 << t->left_shift);
            const int32_t v = (b[bt + i * w->b_step] - t->b_zero) * ((int32_t)1 << t->left_shift);
            const int32_t sum =
                ek_scale(u, t->a_multiplier, t->a_shift) @SIGN ek_scale(v, t->b_multiplier, t->b_shift);
            *y++ = ek_@CLAMP(ek_scale(sum, t->multiplier, t->shift) + t->zero_point, t->low, t->high);
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
