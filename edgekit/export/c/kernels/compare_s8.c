/* needs: walk_next scale */
/* y = a @SIGN b, each as a real number in steps of 1/256. */
static void ek_@OP_s8(const int8_t *a, int32_t a_zero, int32_t a_multiplier, int32_t a_shift, const int8_t *b, int32_t b_zero,
                      int32_t b_multiplier, int32_t b_shift, const ek_walk *w, uint8_t *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const int32_t u = ek_scale((a[at + i * w->a_step] - a_zero) * 256, a_multiplier, a_shift);
            const int32_t v = ek_scale((b[bt + i * w->b_step] - b_zero) * 256, b_multiplier, b_shift);
            *y++ = (uint8_t)(u @SIGN v);
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
