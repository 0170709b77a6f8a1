/* needs: window bytes_mve */
/* A window that reaches over the image's edge, or whose columns lie apart, from (row, left). */
EK_APART static int8_t *ek_patch_mve(const int8_t *x, const ek_window *s, int32_t row, int32_t left, int8_t zero, int8_t *to)
{
    const int32_t c = s->in_c, d = s->dilation_w, wide = (s->kernel_w - 1) * d + 1;
    const int32_t before = left < 0 ? (-left < wide ? -left : wide) : 0;
    const int32_t end = s->in_w - left < wide ? (s->in_w > left ? s->in_w - left : 0) : wide;
    for (int32_t i = 0; i < s->kernel_h; ++i) {
        const int32_t line = row + i * s->dilation_h, at = (line * s->in_w + left) * c;
        if (line < 0 || line >= s->in_h || end <= before) {
            to = ek_filled_mve(zero, s->kernel_w * c, to);
        } else if (d == 1) {
            to = ek_filled_mve(zero, before * c, to);
            to = ek_bytes_mve(x + (at + before * c), (end - before) * c, to);
            to = ek_filled_mve(zero, (wide - end) * c, to);
        } else {
            for (int32_t j = 0; j < wide; j += d) {
                to = j < before || j >= end ? ek_filled_mve(zero, c, to) : ek_bytes_mve(x + (at + j * c), c, to);
            }
        }
    }
    return to;
}
