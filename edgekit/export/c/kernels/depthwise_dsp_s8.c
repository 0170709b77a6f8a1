/* needs: simd window quantized plane_dsp limit_s8 */
/* Depthwise 3x3 convolution, a channel's plane at a time, two outputs at once. w[channels][3][3], with lines first; by `across`
   lines are the image's columns, not its rows. scratch: ten words and three lines. shift: right. bias: doubled. y may be x. */
EK_SMALL static void ek_depthwise_dsp_s8(const int8_t *x, const ek_window *s, int32_t across, int32_t zero, const int8_t *w,
                                const ek_quantized *q, void (*line)(const ek_line *), int8_t *scratch, int8_t *y)
{
    const int32_t c = s->in_c, stride = s->stride_h;
    const int32_t count = across ? s->out_h : s->out_w;
    const int32_t in_count = across ? s->in_h : s->in_w;
    const int32_t line_step = across ? c : s->in_w * c, step = across ? s->in_w * c : c;
    const int32_t before = across ? s->pad_top : s->pad_left;
    const ek_plane image = {step, in_count, before, (count + 1) / 2 * stride + 1, (uint32_t)(uint16_t)zero * 65537u};
    uint32_t *taps = (uint32_t *)(void *)scratch, *plane = taps + 10;
    ek_line t;
    t.x = plane;
    t.x_end = plane + count / 2 * 3 * stride;
    t.odd = count & 1;
    t.step = across ? s->out_w * c : c;
    t.zero_point = q->zero_point;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t k = 0; k < c; ++k) {
            for (int32_t i = 0; i < 3; ++i) {
                const uint32_t w0 = (uint32_t)(2 * w[0]), w1 = (uint32_t)(2 * w[1]), w2 = (uint32_t)(2 * w[2]);
                taps[2 * i] = (w0 & 65535) | w1 << 16;
                taps[2 * i + 1] = (w1 & 65535) | w2 << 16;
                w += 3;
            }
            for (int32_t i = 0; i < 4; ++i) {
                taps[6 + i] = taps[i];
            }
            t.bias = t.bias_again = q->bias[k];
            t.multiplier = q->multiplier[k];
            t.right = q->shift[k];
            t.y = y + k;
            /* The row to read next, its place, rows until a window is whole. */
            int32_t next = across ? -s->pad_left : -s->pad_top, slot = 0, missing = 3;
            for (int32_t l = across ? s->out_w : s->out_h; l > 0; --l) {
                for (; missing > 0; --missing, ++next) {
                    const int8_t *from = next >= 0 && next < (across ? s->in_w : s->in_h) ? x + next * line_step + k : 0;
                    ek_plane_dsp(from, &image, plane + slot);
                    slot = slot == 2 ? 0 : slot + 1;
                }
                t.w = taps + (slot ? 6 - 2 * slot : 0); /* weights in the order of the rows' places */
                line(&t);
                t.y += across ? c : s->out_w * c;
                missing = stride;
            }
        }
        w -= 9 * c;
        x += s->in_h * s->in_w * c;
        y += s->out_h * s->out_w * c;
    }
    ek_limit_s8(y - s->batch * s->out_h * s->out_w * c, s->batch * s->out_h * s->out_w * c, q->low, q->high);
}
