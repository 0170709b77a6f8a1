/* needs: window quantized finish_s8 */
/* Depthwise convolution with out_c / in_c outputs a channel: w[kernel_h][kernel_w][out_c]. Padding counts as the zero point,
   whose share is in the bias. */
static void ek_depthwise_multiplier_s8(const int8_t *x, const ek_window *s, int32_t zero, const int8_t *w, const ek_quantized *q,
                                       int8_t *y)
{
    const int32_t each = s->out_c / s->in_c;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            const int32_t top = p / s->out_w * s->stride_h - s->pad_top;
            const int32_t left = p % s->out_w * s->stride_w - s->pad_left;
            for (int32_t o = 0; o < s->out_c; ++o) {
                const int32_t c = o / each;
                uint32_t sum = (uint32_t)q->bias[o];
                for (int32_t i = 0; i < s->kernel_h; ++i) {
                    const int32_t row = top + i * s->dilation_h;
                    for (int32_t j = 0; j < s->kernel_w; ++j) {
                        const int32_t column = left + j * s->dilation_w;
                        const int32_t inside = row >= 0 && row < s->in_h && column >= 0 && column < s->in_w;
                        const int32_t value = inside ? x[(row * s->in_w + column) * s->in_c + c] : zero;
                        sum += (uint32_t)(value * w[(i * s->kernel_w + j) * s->out_c + o]);
                    }
                }
                y[o] = ek_finish_s8((int32_t)sum, q->multiplier[o * q->each], q->shift[o * q->each], q);
            }
            y += s->out_c;
        }
        x += s->in_h * s->in_w * s->in_c;
    }
}
