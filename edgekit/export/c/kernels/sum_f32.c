/* needs: walk_next */
/* Sum of the box `over` at every place of `kept`, divided by `count`. */
static void ek_sum_f32(const float *x, const ek_walk *kept, const ek_walk *over, float count, float *y)
{
    int32_t place[5] = {0, 0, 0, 0, 0}, base = 0, unused = 0;
    for (int32_t r = 0; r < kept->runs; ++r) {
        for (int32_t k = 0; k < kept->inner; ++k) {
            int32_t index[5] = {0, 0, 0, 0, 0}, at = base + k * kept->a_step;
            float sum = 0.0f;
            for (int32_t s = 0; s < over->runs; ++s) {
                for (int32_t i = 0; i < over->inner; ++i) {
                    sum += x[at + i * over->a_step];
                }
                ek_walk_next(over, index, &at, &unused);
            }
            *y++ = sum / count;
        }
        ek_walk_next(kept, place, &base, &unused);
    }
}
