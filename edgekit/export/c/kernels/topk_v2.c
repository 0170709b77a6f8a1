/* The k largest of each row in falling order, and their places; of equal ones the first comes first. */
static void ek_topk_v2_@S(const @T *x, int32_t rows, int32_t size, int32_t k, @T *y, int32_t *places)
{
    for (int32_t r = 0; r < rows; ++r, x += size) {
        int32_t last = -1;
        for (int32_t j = 0; j < k; ++j) {
            int32_t best = -1;
            for (int32_t i = 0; i < size; ++i) {
                const int32_t after = last < 0 || x[i] < x[last] || (x[i] == x[last] && i > last);
                if (after && (best < 0 || x[i] > x[best])) {
                    best = i;
                }
            }
            best = best < 0 ? 0 : best; /* only where x is not a number */
            *y++ = x[best];
            *places++ = best;
            last = best;
        }
    }
}
