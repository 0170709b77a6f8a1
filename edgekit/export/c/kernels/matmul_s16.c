/* needs: rows_@S */
/* y[rows][channels] = x[rows][depth] times w[channels][depth]: dense layers, and 1x1 convolutions over pixels. */
static void ek_matmul_@S(const int16_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels,
                         const ek_@Q *q, int16_t *y)
{
    for (int32_t r = 0; r < rows; r += 2) {
        ek_rows_@S(x, rows - r, depth, w, channels, q, y, channels);
        x += 2 * depth;
        y += 2 * channels;
    }
}
