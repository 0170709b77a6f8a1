/* int16 to real numbers. */
static void ek_dequantize_s16_f32(const int16_t *x, int32_t count, float scale, int32_t zero_point, float *y)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = (float)(x[i] - zero_point) * scale;
    }
}
