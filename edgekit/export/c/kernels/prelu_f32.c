/* needs: walk_next */
/* y = a where a is not negative, else a * slope; y may be a. */
static void ek_prelu_f32(const float *a, const float *slope, const ek_walk *w, float *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const float u = a[at + i * w->a_step];
            *y++ = u >= 0.0f ? u : u * slope[bt + i * w->b_step];
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
