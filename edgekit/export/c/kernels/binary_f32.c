/* needs: walk_next clamp_f32 */
/* y = a @SIGN b, kept within low..high; y may be a or b where no axis is repeated. */
static void ek_@OP_f32(const float *a, const float *b, const ek_walk *w, float low, float high, float *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            *y++ = ek_clamp_f32(a[at + i * w->a_step] @SIGN b[bt + i * w->b_step], low, high);
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
