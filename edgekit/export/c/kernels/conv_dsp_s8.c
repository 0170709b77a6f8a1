/* needs: simd span_dsp lanes_dsp pixels_@P row_@P limit_s8 load4 even odd */
/* Convolution, four pixels at a time. The depth of a kernel's row is filled up to whole words (its weights there are 0).
   scratch: a tile, then a strip: one row of the windows of four pixels, or one patch. */
EK_ALONE static void ek_conv_dsp_@S(const int8_t *x, const ek_window *s, int8_t zero, const int32_t *w, const ek_packed *q,
                           int8_t *scratch, int8_t *y)
{
    const int32_t step = s->stride_w * s->in_c;
    const int32_t words = (s->kernel_w * s->in_c + 3) / 4, all = words * s->kernel_h;
    const int32_t pixels = s->out_h * s->out_w;
    const int32_t image = s->in_h * s->in_w * s->in_c;
    uint32_t *tile = (uint32_t *)(void *)scratch@ROOM;
    int8_t *strip = scratch + 32 * all@MORE, *out = y;
    for (int32_t n = 0; n < s->batch; ++n) {
        int32_t row = -s->pad_top, column = 0;
        for (int32_t p = 0; p < pixels;) {
            const int32_t four = pixels - p >= 4;
            for (int32_t lane = 0, run; lane < (four ? 4 : 1); lane += run) {
                run = four && lane == 0 && column + 4 <= s->out_w && s->dilation_w == 1 ? 4 : 1; /* pixels side by side */
                const int32_t left = column * s->stride_w - s->pad_left, wide = (run - 1) * s->stride_w + s->kernel_w;
                const int32_t size = (run - 1) * step + 4 * words;
                uint32_t *to = tile + lane;
                int32_t line = row;
                for (int32_t i = 0; i < s->kernel_h; ++i, line += s->dilation_h) {
                    const int32_t at = (line * s->in_w + left) * s->in_c;
                    const int32_t outside = left < 0 || left + wide > s->in_w || line < 0 || line >= s->in_h;
                    const int8_t *from = outside || at + size > image || s->dilation_w > 1
                                             ? ek_span_dsp(x, s, line, left, wide, size, zero, strip)
                                             : x + at;
                    if (run == 4) {
                        ek_lanes_dsp(from, step, words, to);
                        to += 8 * words;
                    }
                    for (int32_t k = 0; run == 1 && k < words; ++k) {
                        const uint32_t v = ek_load4(from + 4 * k);
                        if (four) {
                            to[0] = ek_even(v);
                            to[4] = ek_odd(v);
                            to += 8;
                        } else {
                            *to++ = v;
                        }
                    }
                }
                p += run;
                column += run;
                if (column == s->out_w) {
                    column = 0;
                    row += s->stride_h;
                }
            }
            if (four) {
                ek_pixels_@P(tile, all, w, q, s->out_c, out);
                out += 4 * s->out_c;
            } else {
                ek_row_@P(scratch@MORE, all, w, q, s->out_c, out);
                out += s->out_c;
            }
        }
        x += image;
    }
    ek_limit_s8(y, s->batch * pixels * s->out_c, q->low, q->high);
}
