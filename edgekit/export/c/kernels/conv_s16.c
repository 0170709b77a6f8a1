/* needs: patch_s16 rows_@S */
/* Convolution: the windows of two pixels are laid out in `scratch` (padding is 0), then multiplied.
   w[out_c][kernel_h][kernel_w][in_c / groups]; scratch[2][kernel_h * kernel_w * in_c / groups]. */
static void ek_conv_@S(const int16_t *x, const ek_window *s, int32_t groups, const int8_t *w, const ek_@Q *q,
                       int16_t *scratch, int16_t *y)
{
    const int32_t depth = s->in_c / groups;
    const int32_t channels = s->out_c / groups;
    const int32_t size = s->kernel_h * s->kernel_w * depth;
    const int32_t pixels = s->out_h * s->out_w;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t g = 0; g < groups; ++g) {
            ek_@Q part = *q;
            const int32_t first = g * channels;
            part.bias += first;
            part.multiplier += first * q->each;
            @SHIFTS
            int16_t *out = y + g * channels;
            int32_t row = -s->pad_top, column = -s->pad_left, waiting = 0;
            for (int32_t p = 0; p < pixels; ++p) {
                ek_patch_s16(x, s, row, column, g * depth, depth, 0, scratch + waiting * size);
                if (waiting || p + 1 == pixels) {
                    ek_rows_@S(scratch, waiting + 1, size, w + g * channels * size, channels, &part, out, s->out_c);
                    out += 2 * s->out_c;
                }
                waiting = !waiting;
                column += s->stride_w;
                if ((p + 1) % s->out_w == 0) {
                    column = -s->pad_left;
                    row += s->stride_h;
                }
            }
        }
        x += s->in_h * s->in_w * s->in_c;
        y += pixels * s->out_c;
    }
}
