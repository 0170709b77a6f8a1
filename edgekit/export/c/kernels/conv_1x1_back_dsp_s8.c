/* needs: simd lanes_dsp pixels_@P row_@P limit_s8 bytes_dsp */
/* As ek_conv_1x1_dsp_@S from the last pixel to the first; y may be x when channels >= depth, or lie behind it. */
EK_SMALL static void ek_conv_1x1_back_dsp_@S(const int8_t *x, int32_t pixels, int32_t depth, const int32_t *w, int32_t channels,
                                    const ek_packed *q, int8_t *scratch, int8_t *y)
{
    uint32_t *tile = (uint32_t *)(void *)scratch@ROOM;
    int8_t *out = y + pixels * channels;
    int32_t left = pixels;
    x += pixels * depth;
    for (; left & 3; --left) {
        x -= depth;
        out -= channels;
        ek_bytes_dsp(x, depth, scratch);
        ek_row_@P(scratch, depth / 4, w, q, channels, out);
    }
    for (; left > 0; left -= 4) {
        x -= 4 * depth;
        out -= 4 * channels;
        ek_lanes_dsp(x, depth, depth / 4, tile);
        ek_pixels_@P(tile, depth / 4, w, q, channels, out);
    }
    ek_limit_s8(y, pixels * channels, q->low, q->high);
}
