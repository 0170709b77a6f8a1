/* needs: pixels_mve */
/* As ek_conv_1x1_mve_s8 from the last pixel to the first; y may be x when channels >= depth, or lie behind it. */
static void ek_conv_1x1_back_mve_s8(const int8_t *x, int32_t pixels, int32_t depth, const int8_t *w, int32_t channels,
                                    const ek_laned *q, int8_t *scratch, int8_t *y)
{
    for (int32_t p = pixels; p > 0; p -= 3) {
        const int32_t count = p < 3 ? p : 3, at = p - count;
        ek_pixels_mve(x + at * depth, depth, count, depth, w, q, channels, (int32_t *)(void *)scratch, y + at * channels);
    }
}
