/* needs: simd span_dsp lanes_dsp pixels_dsp row_dsp limit_s8 load4 even odd */
/* Convolution, four pixels at a time. The depth of a kernel's row is filled up to whole words (its weights there are 0).
   scratch: a tile, then a strip: one row of the windows of four pixels, or one patch. */
EK_ALONE static void ek_conv_dsp_s8(const int8_t *x, const ek_window *s, int8_t zero, const int32_t *w, const ek_packed *q,
                           int8_t *scratch, int8_t *y)
{
    const int32_t step = s->stride_w * s->in_c;
    const int32_t words = (s->kernel_w * s->in_c + 3) / 4, all = words * s->kernel_h;
    const int32_t pixels = s->out_h * s->out_w, wide = 3 * s->stride_w + s->kernel_w;
    const int32_t image = s->in_h * s->in_w * s->in_c;
    uint32_t *tile = (uint32_t *)(void *)scratch;
    int8_t *strip = scratch + 32 * all, *out = y;
    for (int32_t n = 0; n < s->batch; ++n) {
        int32_t row = -s->pad_top, column = 0;
        for (int32_t p = 0; p < pixels;) {
            const int32_t four = pixels - p >= 4;
            const int32_t together = four && column + 4 <= s->out_w && s->dilation_w == 1;
            if (together) {
                const int32_t left = column * s->stride_w - s->pad_left, size = 3 * step + 4 * words;
                int32_t line = row;
                for (uint32_t *to = tile; to != tile + 8 * all; to += 8 * words, line += s->dilation_h) {
                    const int32_t at = (line * s->in_w + left) * s->in_c;
                    const int8_t *from;
                    if (left < 0 || left + wide > s->in_w || line < 0 || line >= s->in_h || at + size > image) {
                        from = ek_span_dsp(x, s, line, left, wide, size, zero, strip);
                    } else {
                        from = x + at;
                    }
                    ek_lanes_dsp(from, step, words, to);
                }
                p += 4;
                column += 4;
                if (column == s->out_w) {
                    column = 0;
                    row += s->stride_h;
                }
            }
            for (int32_t lane = 0; !together && lane < (four ? 4 : 1); ++lane) {
                for (int32_t i = 0; i < s->kernel_h; ++i) {
                    const int32_t left = column * s->stride_w - s->pad_left;
                    const int8_t *from = ek_span_dsp(x, s, row + i * s->dilation_h, left, s->kernel_w, 4 * words, zero, strip);
                    for (int32_t k = 0; k < words; ++k) {
                        const uint32_t v = ek_load4(from + 4 * k);
                        uint32_t *to = tile + 8 * (words * i + k) + lane;
                        if (four) {
                            to[0] = ek_even(v);
                            to[4] = ek_odd(v);
                        } else {
                            tile[words * i + k] = v;
                        }
                    }
                }
                ++p;
                if (++column == s->out_w) {
                    column = 0;
                    row += s->stride_h;
                }
            }
            if (four) {
                ek_pixels_dsp(tile, all, w, q, s->out_c, out);
                out += 4 * s->out_c;
            } else {
                ek_row_dsp(scratch, all, w, q, s->out_c, out);
                out += s->out_c;
            }
        }
        x += image;
    }
    ek_limit_s8(y, s->batch * pixels * s->out_c, q->low, q->high);
}
