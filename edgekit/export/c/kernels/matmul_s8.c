/* needs: dot_@S dot2_@S */
/* y[rows][channels] = x[rows][depth] times w[channels][depth]: dense layers, and 1x1 convolutions over pixels. */
static void ek_matmul_@S(const int8_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels, const ek_quantized *q,
                         int8_t *y)
{
    int32_t r = 0;
    for (; r + 2 <= rows; r += 2) {
        ek_dot2_@S(x, x + depth, depth, w, channels, q, y, y + channels);
        x += 2 * depth;
        y += 2 * channels;
    }
    if (r < rows) {
        ek_dot_@S(x, depth, w, channels, q, y);
    }
}
