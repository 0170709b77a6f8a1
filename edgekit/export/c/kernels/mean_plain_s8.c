/* needs: walk_next */
/* Mean of the box `over` at every place of `kept`, truncated towards zero. */
static void ek_mean_plain_s8(const int8_t *x, const ek_walk *kept, const ek_walk *over, int32_t count, int8_t *y)
{
    int32_t place[5] = {0, 0, 0, 0, 0}, base = 0, unused = 0;
    for (int32_t r = 0; r < kept->runs; ++r) {
        for (int32_t k = 0; k < kept->inner; ++k) {
            int32_t index[5] = {0, 0, 0, 0, 0}, at = base + k * kept->a_step, sum = 0;
            for (int32_t s = 0; s < over->runs; ++s) {
                for (int32_t i = 0; i < over->inner; ++i) {
                    sum += x[at + i * over->a_step];
                }
                ek_walk_next(over, index, &at, &unused);
            }
            *y++ = (int8_t)(sum / count);
        }
        ek_walk_next(kept, place, &base, &unused);
    }
}
