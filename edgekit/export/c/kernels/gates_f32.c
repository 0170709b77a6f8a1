/* y[rows] = x[depth] . w[rows][depth] + bias (0: none), to what y holds when `adding`. */
static void ek_gates_f32(const float *x, int32_t depth, const float *w, int32_t rows, const float *bias, int32_t adding, float *y)
{
    for (int32_t o = 0; o < rows; ++o) {
        float sum = bias != 0 ? bias[o] : 0.0f;
        for (int32_t k = 0; k < depth; ++k) {
            sum += x[k] * w[k];
        }
        y[o] = adding != 0 ? y[o] + sum : sum;
        w += depth;
    }
}
