/* needs: dots_f32 */
/* y[rows] = x[depth] . w[rows][depth] + bias (0: none), to what y holds when `adding`. */
static void ek_gates_f32(const float *x, int32_t depth, const float *w, int32_t rows, const float *bias, int32_t adding, float *y)
{
    for (int32_t o = 0; o < rows; o += 4) {
        const int32_t many = rows - o < 4 ? rows - o : 4;
        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int32_t i = 0; i < many && bias != 0; ++i) {
            sums[i] = bias[o + i];
        }
        ek_dots_f32(x, w + o * depth, depth, depth, many, sums);
        for (int32_t i = 0; i < many; ++i) {
            y[o + i] = adding != 0 ? y[o + i] + sums[i] : sums[i];
        }
    }
}
