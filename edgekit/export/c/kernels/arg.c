/* y[outer][inner]: where along x[outer][size][inner] the @WORD value is first. */
static void ek_@OP_@S(const @T *x, int32_t outer, int32_t size, int32_t inner, int32_t *y)
{
    for (int32_t o = 0; o < outer; ++o, x += size * inner) {
        for (int32_t k = 0; k < inner; ++k) {
            int32_t best = 0;
            for (int32_t i = 1; i < size; ++i) {
                best = x[i * inner + k] @SIGN x[best * inner + k] ? i : best;
            }
            *y++ = best;
        }
    }
}
