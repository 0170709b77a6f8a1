/* needs: dot_s8 dot2_s8 */
/* As ek_matmul_s8 from the last row to the first, for a y that overlaps x from behind. */
static void ek_matmul_back_s8(const int8_t *x, int32_t rows, int32_t depth, const int8_t *w, int32_t channels,
                              const ek_quantized *q, int8_t *y)
{
    x += rows * depth;
    y += rows * channels;
    if (rows & 1) {
        x -= depth;
        y -= channels;
        ek_dot_s8(x, depth, w, channels, q, y);
    }
    for (int32_t r = 1; r < rows; r += 2) {
        x -= 2 * depth;
        y -= 2 * channels;
        ek_dot2_s8(x, x + depth, depth, w, channels, q, y, y + channels);
    }
}
