/* needs: patch_s8 dot_@S dot2_@S */
/* Convolution: the windows of two pixels are laid out in `scratch` (padding holds the zero point), then multiplied.
   w[out_c][kernel_h][kernel_w][in_c / groups]; scratch[2][kernel_h * kernel_w * in_c / groups]. */
static void ek_conv_@S(const int8_t *x, const ek_window *s, int32_t groups, int8_t zero, const int8_t *w, const ek_quantized *q,
                       int8_t *scratch, int8_t *y)
{
    const int32_t depth = s->in_c / groups;
    const int32_t channels = s->out_c / groups;
    const int32_t size = s->kernel_h * s->kernel_w * depth;
    const int32_t pixels = s->out_h * s->out_w;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t g = 0; g < groups; ++g) {
            ek_quantized part = *q;
            part.bias += g * channels;
            part.multiplier += g * channels * q->each;
            part.shift += g * channels * q->each;
            const int8_t *weights = w + g * @SPAN;
            int8_t *out = y + g * channels;
            int32_t row = -s->pad_top, column = -s->pad_left, waiting = 0;
            for (int32_t p = 0; p < pixels; ++p) {
                ek_patch_s8(x, s, row, column, g * depth, depth, zero, scratch + waiting * size);
                if (waiting) {
                    ek_dot2_@S(scratch, scratch + size, size, weights, channels, &part, out, out + s->out_c);
                    out += 2 * s->out_c;
                }
                waiting = !waiting;
                column += s->stride_w;
                if ((p + 1) % s->out_w == 0) {
                    column = -s->pad_left;
                    row += s->stride_h;
                }
            }
            if (waiting) {
                ek_dot_@S(scratch, size, weights, channels, &part, out);
            }
        }
        x += s->in_h * s->in_w * s->in_c;
        y += pixels * s->out_c;
    }
}
