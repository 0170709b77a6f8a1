/* needs: window clamp_f32 */
/* Depthwise convolution, out_c / in_c outputs a channel: w[kernel_h][kernel_w][out_c]. Outside the image is zero. */
static void ek_depthwise_f32(const float *x, const ek_window *s, const float *w, const float *bias, float low, float high, float *y)
{
    const int32_t each = s->out_c / s->in_c;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            const int32_t top = p / s->out_w * s->stride_h - s->pad_top;
            const int32_t left = p % s->out_w * s->stride_w - s->pad_left;
            for (int32_t o = 0; o < s->out_c; ++o) {
                float sum = 0.0f;
                for (int32_t i = 0; i < s->kernel_h; ++i) {
                    const int32_t row = top + i * s->dilation_h;
                    for (int32_t j = 0; j < s->kernel_w; ++j) {
                        const int32_t column = left + j * s->dilation_w;
                        if (row >= 0 && row < s->in_h && column >= 0 && column < s->in_w) {
                            sum += x[(row * s->in_w + column) * s->in_c + o / each] * w[(i * s->kernel_w + j) * s->out_c + o];
                        }
                    }
                }
                y[o] = ek_clamp_f32(sum + bias[o], low, high);
            }
            y += s->out_c;
        }
        x += s->in_h * s->in_w * s->in_c;
    }
}
