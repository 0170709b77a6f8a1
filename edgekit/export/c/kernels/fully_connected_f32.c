/* needs: dots_f32 clamp_f32 */
/* Dense layer: y[rows][channels] = x[rows][depth] times w[channels][depth]. A row's outputs four at a time. */
static void ek_fully_connected_f32(const float *x, int32_t rows, int32_t depth, const float *w, int32_t channels,
                                   const float *bias, float low, float high, float *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        for (int32_t o = 0; o < channels; o += 4) {
            const int32_t many = channels - o < 4 ? channels - o : 4;
            float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            ek_dots_f32(x, w + o * depth, depth, depth, many, sums);
            for (int32_t i = 0; i < many; ++i) {
                y[o + i] = ek_clamp_f32(sums[i] + bias[o + i], low, high);
            }
        }
        x += depth;
        y += channels;
    }
}
