/* needs: window laned bytes_mve narrow_@S line_@S */
/* Depthwise convolution, 16 channels at a time: the input's lines go through a ring of lines in `scratch`, between zero points,
   behind the places of the taps in it (`places`: an even number; a last one more has weights of 0).
   w: [channels / 16][places][16]. Two taps' products are added as int16: their weights' sizes add up to 255 at most. */
EK_APART static void ek_@K(const int8_t *x, const ek_window *s, int8_t zero, const int8_t *w, const ek_laned *q, int8_t *scratch,
                           int8_t *y)
{
    const int32_t c = s->in_c, taps = s->kernel_h * s->kernel_w, places = (taps + 1) / 2 * 2;
    const int32_t ring = (s->kernel_h - 1) * s->dilation_h + 1;
    const int32_t wide = (s->out_w - 1) * s->stride_w + (s->kernel_w - 1) * s->dilation_w + 1;
    const int32_t before = s->pad_left < wide ? s->pad_left : wide;
    const int32_t within = s->in_w < wide - before ? s->in_w : wide - before; /* columns of the image that are used */
    int32_t *const place = (int32_t *)(void *)scratch;
    int8_t *const lines = scratch + 4 * places;
    for (int32_t first = 0; first < c; first += 16, w += 16 * places) {
        const int32_t channels = c - first < 16 ? c - first : 16;
        const int32_t *bias = q->bias + first, *m = q->multiplier + first;
        const int8_t *shift = q->shift + first;
        for (int32_t n = 0; n < s->batch; ++n) {
            int8_t *out = y + n * s->out_h * s->out_w * c + first;
            int32_t next = -s->pad_top, slot = 0; /* the line that comes into the ring next, and where */
            for (int32_t r = 0; r < s->out_h; ++r) {
                const int32_t top = r * s->stride_h - s->pad_top;
                if (next < top) {
                    slot = (slot + top - next) % ring;
                    next = top;
                }
                for (; next < top + ring; ++next) {
                    int8_t *to = lines + slot * wide * 16;
                    slot = slot + 1 < ring ? slot + 1 : 0;
                    if (next < 0 || next >= s->in_h) {
                        (void)ek_filled_mve(zero, wide * 16, to);
                        continue;
                    }
                    to = ek_filled_mve(zero, before * 16, to);
                    to = ek_columns_mve(x + (n * s->in_h + next) * s->in_w * c + first, c, channels, within, to);
                    (void)ek_filled_mve(zero, (wide - before - within) * 16, to);
                }
                /* `slot` is now the first line's. */
#if EK_ASM && @FAST
                if (s->kernel_h == 3 && s->kernel_w == 3 && s->dilation_w == 1) {
                    const int32_t d = s->dilation_h, middle = (slot + d) % ring, last = (slot + 2 * d) % ring;
                    const ek_mve_line t = {{lines + slot * wide * 16, lines + middle * wide * 16, lines + last * wide * 16}, shift, w + 64,
                                       bias, m, out, 16 * s->stride_w, c, q->zero_point, q->low, q->high, s->out_w, channels};
                    ek_line_@S(&t);
                    out += s->out_w * c;
                    continue;
                }
#endif
                for (int32_t i = 0, t = 0, line = slot; i < s->kernel_h; ++i, line = (line + s->dilation_h) % ring) {
                    for (int32_t j = 0; j < s->kernel_w; ++j, ++t) {
                        place[t] = (line * wide + j * s->dilation_w) * 16;
                    }
                }
                place[places - 1] = (taps & 1) != 0 ? 0 : place[places - 1];
                const int8_t *at = lines;
                const ek_pred p = ek_vctp8q((uint32_t)channels);
                for (int32_t o = 0; o < s->out_w; ++o, at += 16 * s->stride_w, out += c) {
                    ek_v4 s0 = ek_vldrwq_s32(bias), s1 = ek_vldrwq_s32(bias + 4);
                    ek_v4 s2 = ek_vldrwq_s32(bias + 8), s3 = ek_vldrwq_s32(bias + 12);
                    const int8_t *v = w;
                    for (int32_t t = 0; t < places; t += 2, v += 32) {
                        const ek_v16 x0 = ek_vldrbq_s8(at + place[t]), x1 = ek_vldrbq_s8(at + place[t + 1]);
                        const ek_v16 w0 = ek_vldrbq_s8(v), w1 = ek_vldrbq_s8(v + 16);
                        const ek_v8 even = ek_vaddq_s16(ek_vmullbq_int_s8(x0, w0), ek_vmullbq_int_s8(x1, w1));
                        const ek_v8 odd = ek_vaddq_s16(ek_vmulltq_int_s8(x0, w0), ek_vmulltq_int_s8(x1, w1));
                        s0 = ek_vaddq_s32(s0, ek_vmovlbq_s16(even));
                        s2 = ek_vaddq_s32(s2, ek_vmovltq_s16(even));
                        s1 = ek_vaddq_s32(s1, ek_vmovlbq_s16(odd));
                        s3 = ek_vaddq_s32(s3, ek_vmovltq_s16(odd));
                    }
                    ek_vstrbq_p_s8(out, ek_narrow_@S(s0, s1, s2, s3, m, shift, q), p);
                }
            }
        }
    }
}
