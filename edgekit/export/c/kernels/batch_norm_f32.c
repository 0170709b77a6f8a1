/* y = (x - mean) * scale + offset, one of each a channel; y may be x. */
static void ek_batch_norm_f32(const float *x, int32_t rows, int32_t channels, const float *mean, const float *scale,
                              const float *offset, float *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        for (int32_t c = 0; c < channels; ++c) {
            y[c] = (x[c] - mean[c]) * scale[c] + offset[c];
        }
        x += channels;
        y += channels;
    }
}
