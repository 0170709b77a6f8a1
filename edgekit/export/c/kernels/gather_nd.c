/* y[count][inner] = x[ids[count]][inner], an index being `depth` numbers within sizes[]; returns 1 when one is not. */
static int32_t ek_gather_nd_@S(const @T *x, const int32_t *ids, int32_t count, const int32_t *sizes, int32_t depth,
                               int32_t inner, @T *y)
{
    for (int32_t i = 0; i < count; ++i) {
        int32_t place = 0;
        for (int32_t d = 0; d < depth; ++d, ++ids) {
            if (*ids < 0 || *ids >= sizes[d]) {
                return 1;
            }
            place = place * sizes[d] + *ids;
        }
        for (int32_t k = 0; k < inner; ++k) {
            *y++ = x[place * inner + k];
        }
    }
    return 0;
}
