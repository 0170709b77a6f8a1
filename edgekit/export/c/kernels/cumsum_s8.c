/* needs: scale clamp_s8 */
/* Running sums along x[outer][size][inner], less the zero point and rescaled; exclusive: without the element itself, reverse:
 * from the last. y may be x. */
static void ek_cumsum_s8(const int8_t *x, int32_t outer, int32_t size, int32_t inner, int32_t exclusive, int32_t reverse,
                         int32_t zero, int32_t multiplier, int32_t shift, int32_t zero_point, int8_t *y)
{
    for (int32_t o = 0; o < outer; ++o) {
        for (int32_t k = 0; k < inner; ++k) {
            int32_t total = 0;
            for (int32_t i = 0; i < size; ++i) {
                const int32_t at = (o * size + (reverse ? size - 1 - i : i)) * inner + k;
                const int32_t before = total;
                total += x[at] - zero;
                y[at] = ek_clamp_s8(ek_scale(exclusive ? before : total, multiplier, shift) + zero_point, -128, 127);
            }
        }
    }
}
