/* Real numbers to int16: x / scale, halves away from zero, plus the zero point; what does not fit is kept in range. */
static void ek_quantize_f32_s16(const float *x, int32_t count, float scale, int32_t zero_point, int16_t *y)
{
    for (int32_t i = 0; i < count; ++i) {
        float steps = x[i] / scale;
        steps = steps > -70000.0f ? steps : -70000.0f;
        steps = steps < 70000.0f ? steps : 70000.0f;
        int32_t q = (int32_t)steps;
        const float rest = steps - (float)q;
        q += (rest >= 0.5f) - (rest <= -0.5f) + zero_point;
        y[i] = (int16_t)(q < -32768 ? -32768 : q > 32767 ? 32767 : q);
    }
}
