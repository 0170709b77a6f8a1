/* needs: dot_@S dot2_@S */
/* As ek_matmul_@S from the last row to the first, for a y that overlaps x from behind. */
static void ek_matmul_back_@S(const int8_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels,
                              const ek_quantized *q, int8_t *y)
{
    x += rows * depth;
    y += rows * channels;
    if (rows & 1) {
        x -= depth;
        y -= channels;
        ek_dot_@S(x, depth, w, channels, q, y);
    }
    for (int32_t r = 1; r < rows; r += 2) {
        x -= 2 * depth;
        y -= 2 * channels;
        ek_dot2_@S(x, x + depth, depth, w, channels, q, y, y + channels);
    }
}
