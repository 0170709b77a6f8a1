/* needs: walk_next */
/* The @WORD of the box `over` at every place of `kept`. */
static void ek_@OP_@S(const @T *x, const ek_walk *kept, const ek_walk *over, @T *y)
{
    int32_t place[5] = {0, 0, 0, 0, 0}, base = 0, unused = 0;
    for (int32_t r = 0; r < kept->runs; ++r) {
        for (int32_t k = 0; k < kept->inner; ++k) {
            int32_t index[5] = {0, 0, 0, 0, 0}, at = base + k * kept->a_step;
            @T total = @FIRST;
            for (int32_t s = 0; s < over->runs; ++s) {
                for (int32_t i = 0; i < over->inner; ++i) {
                    const @T value = x[at + i * over->a_step];
                    total = @E;
                }
                ek_walk_next(over, index, &at, &unused);
            }
            *y++ = total;
        }
        ek_walk_next(kept, place, &base, &unused);
    }
}
