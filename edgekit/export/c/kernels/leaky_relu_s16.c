/* needs: scale within_s16 */
/* One scale from zero up, another below; y may be x. */
static void ek_leaky_relu_s16(const int16_t *x, int32_t count, int32_t multiplier, int32_t shift, int32_t below_multiplier,
                              int32_t below_shift, int16_t *y)
{
    for (int32_t i = 0; i < count; ++i) {
        const int32_t v = x[i] >= 0 ? ek_scale(x[i], multiplier, shift) : ek_scale(x[i], below_multiplier, below_shift);
        y[i] = ek_within_s16(v, -32768, 32767);
    }
}
