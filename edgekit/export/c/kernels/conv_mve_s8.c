/* needs: window bytes_mve pixels_mve */
/* Convolution, three pixels at a time: their windows are copied side by side behind the sums in `scratch`. */
static void ek_conv_mve_s8(const int8_t *x, const ek_window *s, int8_t zero, const int8_t *w, const ek_laned *q, int8_t *scratch,
                           int8_t *y)
{
    const int32_t c = s->in_c, d = s->dilation_w, depth = s->kernel_h * s->kernel_w * c;
    const int32_t wide = (s->kernel_w - 1) * d + 1;
    int32_t *sums = (int32_t *)(void *)scratch;
    int8_t *const windows = scratch + 512 + 4 * (s->out_c < 64 ? (s->out_c + 15) / 16 * 16 : 64);
    int8_t *to = windows;
    int32_t count = 0, left_over = s->batch * s->out_h * s->out_w;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t row = -s->pad_top, r = 0; r < s->out_h; ++r, row += s->stride_h) {
            for (int32_t left = -s->pad_left, o = 0; o < s->out_w; ++o, left += s->stride_w) {
                const int32_t before = left < 0 ? (-left < wide ? -left : wide) : 0;
                const int32_t end = s->in_w - left < wide ? (s->in_w > left ? s->in_w - left : 0) : wide;
                for (int32_t i = 0; i < s->kernel_h; ++i) {
                    const int32_t line = row + i * s->dilation_h;
                    const int32_t at = (line * s->in_w + left) * c;
                    if (line < 0 || line >= s->in_h || end <= before) {
                        to = ek_filled_mve(zero, s->kernel_w * c, to);
                    } else if (d == 1) {
                        if (before > 0) {
                            to = ek_filled_mve(zero, before * c, to);
                        }
                        to = ek_bytes_mve(x + (at + before * c), (end - before) * c, to);
                        if (end < wide) {
                            to = ek_filled_mve(zero, (wide - end) * c, to);
                        }
                    } else {
                        for (int32_t j = 0; j < wide; j += d) {
                            to = j < before || j >= end ? ek_filled_mve(zero, c, to) : ek_bytes_mve(x + (at + j * c), c, to);
                        }
                    }
                }
                --left_over;
                if (++count == 3 || left_over == 0) {
                    ek_pixels_mve(windows, depth, count, depth, w, q, s->out_c, sums, y);
                    y += count * s->out_c;
                    to = windows;
                    count = 0;
                }
            }
        }
        x += s->in_h * s->in_w * c;
    }
}
