/* needs: dot_s8 dot2_s8 */
/* y[rows][channels] = x[rows][depth] times w[channels][depth]: dense layers, and 1x1 convolutions over pixels. */
static void ek_matmul_s8(const int8_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels, const ek_quantized *q,
                         int8_t *y)
{
    int32_t r = 0;
    for (; r + 2 <= rows; r += 2) {
        ek_dot2_s8(x, x + depth, depth, w, channels, q, y, y + channels);
        x += 2 * depth;
        y += 2 * channels;
    }
    if (r < rows) {
        ek_dot_s8(x, depth, w, channels, q, y);
    }
}
