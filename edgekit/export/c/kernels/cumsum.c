/* Running sums along x[outer][size][inner]; exclusive: without the element itself, reverse: from the last. y may be x. */
static void ek_cumsum_@S(const @T *x, int32_t outer, int32_t size, int32_t inner, int32_t exclusive, int32_t reverse, @T *y)
{
    for (int32_t o = 0; o < outer; ++o) {
        for (int32_t k = 0; k < inner; ++k) {
            @T total = 0;
            for (int32_t i = 0; i < size; ++i) {
                const int32_t at = (o * size + (reverse ? size - 1 - i : i)) * inner + k;
                const @T before = total;
                total = @E;
                y[at] = exclusive ? before : total;
            }
        }
    }
}
