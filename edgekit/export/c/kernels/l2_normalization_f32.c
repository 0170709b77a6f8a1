/* Each row of `depth` divided by its length (at least 1e-6); y may be x. */
static void ek_l2_normalization_f32(const float *x, int32_t rows, int32_t depth, float *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        float squares = 0.0f;
        for (int32_t k = 0; k < depth; ++k) {
            squares += x[k] * x[k];
        }
        const float length = sqrtf(squares);
        for (int32_t k = 0; k < depth; ++k) {
            y[k] = x[k] / (length < 1e-6f ? 1e-6f : length);
        }
        x += depth;
        y += depth;
    }
}
