/* needs: @NEEDS */
/* y, of `size` elements, is zero, and at y[ids[count]][inner] the sum of x[count][inner]; returns 1 for an index outside. */
static int32_t ek_scatter_nd_@S(const int32_t *ids, const @T *x, int32_t count, const int32_t *sizes, int32_t depth,
                                int32_t inner, int32_t size, int32_t zero, @T *y)
{
    for (int32_t i = 0; i < size; ++i) {
        y[i] = (@T)zero;
    }
    for (int32_t i = 0; i < count; ++i) {
        int32_t place = 0;
        for (int32_t d = 0; d < depth; ++d, ++ids) {
            if (*ids < 0 || *ids >= sizes[d]) {
                return 1;
            }
            place = place * sizes[d] + *ids;
        }
        for (int32_t k = 0; k < inner; ++k, ++x) {
            @T *to = y + place * inner + k;
            *to = @E;
        }
    }
    return 0;
}
