/* needs: walk_next scale @CLAMP */
/* Sum of the box `over` at every place of `kept`, less the zero point's share, rescaled; a mean has 1 / count in its scale. */
static void ek_sum_@S(const @T *x, const ek_walk *kept, const ek_walk *over, int32_t zeros, int32_t multiplier, int32_t shift,
                      int32_t zero_point, @T *y)
{
    int32_t place[5] = {0, 0, 0, 0, 0}, base = 0, unused = 0;
    for (int32_t r = 0; r < kept->runs; ++r) {
        for (int32_t k = 0; k < kept->inner; ++k) {
            int32_t index[5] = {0, 0, 0, 0, 0}, at = base + k * kept->a_step, sum = -zeros;
            for (int32_t s = 0; s < over->runs; ++s) {
                for (int32_t i = 0; i < over->inner; ++i) {
                    sum += x[at + i * over->a_step];
                }
                ek_walk_next(over, index, &at, &unused);
            }
            *y++ = ek_@CLAMP(ek_scale(sum, multiplier, shift) + zero_point, @LEAST, @MOST);
        }
        ek_walk_next(kept, place, &base, &unused);
    }
}
