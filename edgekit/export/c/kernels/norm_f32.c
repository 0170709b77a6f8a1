/* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta; x[rows][pixels][groups][depth], gamma and beta [groups][depth], or
   NULL; centred 0: the mean counts as 0; y may be x. */
static void ek_norm_f32(const float *x, int32_t rows, int32_t pixels, int32_t groups, int32_t depth, int32_t centred,
                        float epsilon, const float *gamma, const float *beta, float *y)
{
    const int32_t line = groups * depth;
    const float count = (float)(pixels * depth);
    for (int32_t r = 0; r < rows; ++r) {
        for (int32_t g = 0; g < groups; ++g) {
            const float *from = x + g * depth;
            float *to = y + g * depth;
            float mean = 0.0f, squares = 0.0f;
            for (int32_t p = 0; centred && p < pixels; ++p) {
                for (int32_t k = 0; k < depth; ++k) {
                    mean += from[p * line + k];
                }
            }
            mean /= count;
            for (int32_t p = 0; p < pixels; ++p) {
                for (int32_t k = 0; k < depth; ++k) {
                    const float v = from[p * line + k] - mean;
                    squares += v * v;
                }
            }
            const float scale = 1.0f / sqrtf(squares / count + epsilon);
            for (int32_t p = 0; p < pixels; ++p) {
                for (int32_t k = 0; k < depth; ++k) {
                    const float v = (from[p * line + k] - mean) * scale;
                    to[p * line + k] = v * (gamma ? gamma[g * depth + k] : 1.0f) + (beta ? beta[g * depth + k] : 0.0f);
                }
            }
        }
        x += pixels * line;
        y += pixels * line;
    }
}
