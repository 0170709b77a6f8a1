/* Real numbers to int8: x / scale, halves away from zero, plus the zero point; what does not fit is kept within -128..127. */
static void ek_quantize_f32_s8(const float *x, int32_t count, float scale, int32_t zero_point, int8_t *y)
{
    for (int32_t i = 0; i < count; ++i) {
        float steps = x[i] / scale;
        steps = steps > -1000.0f ? steps : -1000.0f;
        steps = steps < 1000.0f ? steps : 1000.0f;
        int32_t q = (int32_t)steps;
        const float rest = steps - (float)q;
        q += (rest >= 0.5f) - (rest <= -0.5f) + zero_point;
        y[i] = (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
    }
}
