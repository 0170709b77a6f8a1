/* needs: clamp_f32 */
/* Dense layer: y[rows][channels] = x[rows][depth] times w[channels][depth]. */
static void ek_fully_connected_f32(const float *x, int32_t rows, int32_t depth, const float *w, int32_t channels,
                                   const float *bias, float low, float high, float *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        for (int32_t o = 0; o < channels; ++o) {
            const float *v = w + o * depth;
            float sum = 0.0f;
            for (int32_t k = 0; k < depth; ++k) {
                sum += x[k] * v[k];
            }
            *y++ = ek_clamp_f32(sum + bias[o], low, high);
        }
        x += depth;
    }
}
