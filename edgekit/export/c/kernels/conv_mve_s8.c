/* needs: window bytes_mve patch_mve pixels_mve */
/* Convolution, three pixels at a time: their windows are copied side by side behind the sums in `scratch`. */
static void ek_conv_mve_s8(const int8_t *x, const ek_window *s, int8_t zero, const int8_t *w, const ek_laned *q, int8_t *scratch,
                           int8_t *y)
{
    const int32_t c = s->in_c, run = s->kernel_w * c, depth = s->kernel_h * run, line = s->dilation_h * s->in_w * c;
    const int32_t low = s->in_h - (s->kernel_h - 1) * s->dilation_h, right = s->dilation_w == 1 ? s->in_w - s->kernel_w : -1;
    int8_t *const windows = scratch + 512 + 4 * (s->out_c < 64 ? (s->out_c + 15) / 16 * 16 : 64);
    int8_t *to = windows;
    int32_t count = 0;
    for (int32_t n = 0; n < s->batch; ++n) {
        int32_t row = -s->pad_top, left = -s->pad_left, column = 0;
        for (int32_t p = s->out_h * s->out_w; p > 0; --p) {
            if (row >= 0 && row < low && left >= 0 && left <= right) {
                to = ek_window_mve(x + (row * s->in_w + left) * c, line, s->kernel_h, run, to);
            } else {
                to = ek_patch_mve(x, s, row, left, zero, to);
            }
            left += s->stride_w;
            if (++column == s->out_w) {
                column = 0;
                left = -s->pad_left;
                row += s->stride_h;
            }
            if (++count == 3 || (p == 1 && n + 1 == s->batch)) {
                ek_pixels_mve(windows, depth, count, depth, w, q, s->out_c, (int32_t *)(void *)scratch, y);
                y += count * s->out_c;
                to = windows;
                count = 0;
            }
        }
        x += s->in_h * s->in_w * c;
    }
}
