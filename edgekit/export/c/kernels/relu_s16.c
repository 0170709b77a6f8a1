/* needs: scale within_s16 */
/* int16 of one scale to another, kept within low..high; y may be x. */
static void ek_relu_s16(const int16_t *x, int32_t count, int32_t multiplier, int32_t shift, int32_t low, int32_t high, int16_t *y)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = ek_within_s16(ek_scale(x[i], multiplier, shift), low, high);
    }
}
