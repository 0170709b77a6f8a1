/* needs: pixels_mve */
/* 1x1 convolution of `pixels` pixels, three at a time; y may be x when channels <= depth. sums: three rows of 64. */
static void ek_conv_1x1_mve_s8(const int8_t *x, int32_t pixels, int32_t depth, const int8_t *w, int32_t channels, const ek_laned *q,
                               int8_t *scratch, int8_t *y)
{
    for (int32_t p = 0; p < pixels; p += 3) {
        const int32_t count = pixels - p < 3 ? pixels - p : 3;
        ek_pixels_mve(x + p * depth, depth, count, depth, w, q, channels, (int32_t *)(void *)scratch, y + p * channels);
    }
}
