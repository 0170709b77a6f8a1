/* needs: walk_next scale @CLAMP */
/* y = a * b, rescaled; y may be a or b where no axis is repeated. */
static void ek_mul_@S(const @T *a, int32_t a_zero, const @T *b, int32_t b_zero, const ek_walk *w, int32_t multiplier,
                      int32_t shift, int32_t zero_point, int32_t low, int32_t high, @T *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const int32_t product = (a[at + i * w->a_step] - a_zero) * (b[bt + i * w->b_step] - b_zero);
            *y++ = ek_@CLAMP(ek_scale(product, multiplier, shift) + zero_point, low, high);
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
