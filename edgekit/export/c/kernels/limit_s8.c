/* needs: simd clamp_s8 */
/* Keeps what was written within an activation's limits. */
EK_SMALL static void ek_limit_s8(int8_t *y, int32_t count, int32_t low, int32_t high)
{
    if (low > -128 || high < 127) {
        for (int32_t i = 0; i < count; ++i) {
            y[i] = ek_clamp_s8(y[i], low, high);
        }
    }
}
