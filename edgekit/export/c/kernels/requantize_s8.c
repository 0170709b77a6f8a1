/* needs: scale clamp_s8 */
/* int8 of one scale to int8 of another; y may be x. */
static void ek_requantize_s8(const int8_t *x, int32_t zero, int32_t count, int32_t multiplier, int32_t shift, int32_t zero_point,
                             int8_t *y)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = ek_clamp_s8(ek_scale(x[i] - zero, multiplier, shift) + zero_point, -128, 127);
    }
}
