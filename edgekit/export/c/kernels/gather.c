/* y[outer][count][inner] = x[outer][ids[count]][inner]; ids must be within 0..size-1, returns 1 when one is not. */
static int32_t ek_gather_@S(const @T *x, const int32_t *ids, int32_t outer, int32_t size, int32_t inner, int32_t count, @T *y)
{
    for (int32_t o = 0; o < outer; ++o) {
        for (int32_t i = 0; i < count; ++i) {
            if (ids[i] < 0 || ids[i] >= size) {
                return 1;
            }
            const @T *from = x + (o * size + ids[i]) * inner;
            for (int32_t k = 0; k < inner; ++k) {
                *y++ = from[k];
            }
        }
    }
    return 0;
}
