/* needs: rows_@S */
/* As matmul_s16, the last rows first: y may lie over rows of x that are done with. */
static void ek_matmul_back_@S(const int16_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels,
                              const ek_@Q *q, int16_t *y)
{
    for (int32_t r = (rows - 1) / 2 * 2; r >= 0; r -= 2) {
        ek_rows_@S(x + r * depth, rows - r, depth, w, channels, q, y + r * channels, channels);
    }
}
