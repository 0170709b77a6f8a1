/* Logarithm of the softmax of each row of `depth`; y may be x. */
static void ek_log_softmax_f32(const float *x, int32_t rows, int32_t depth, float *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        float most = x[0], sum = 0.0f;
        for (int32_t i = 1; i < depth; ++i) {
            most = x[i] > most ? x[i] : most;
        }
        for (int32_t i = 0; i < depth; ++i) {
            sum += expf(x[i] - most);
        }
        const float down = most + logf(sum);
        for (int32_t i = 0; i < depth; ++i) {
            y[i] = x[i] - down;
        }
        x += depth;
        y += depth;
    }
}
