/* needs: window clamp_f32 */
/* Convolution: w[out_c][kernel_h][kernel_w][in_c / groups]. Outside the image is zero. */
static void ek_conv_f32(const float *x, const ek_window *s, int32_t groups, const float *w, const float *bias, float low,
                        float high, float *y)
{
    const int32_t depth = s->in_c / groups;
    const int32_t each = s->out_c / groups;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            const int32_t top = p / s->out_w * s->stride_h - s->pad_top;
            const int32_t left = p % s->out_w * s->stride_w - s->pad_left;
            for (int32_t o = 0; o < s->out_c; ++o) {
                const int32_t first = o / each * depth;
                float sum = 0.0f;
                for (int32_t i = 0; i < s->kernel_h; ++i) {
                    const int32_t row = top + i * s->dilation_h;
                    if (row < 0 || row >= s->in_h) {
                        continue;
                    }
                    for (int32_t j = 0; j < s->kernel_w; ++j) {
                        const int32_t column = left + j * s->dilation_w;
                        if (column < 0 || column >= s->in_w) {
                            continue;
                        }
                        const float *u = x + (row * s->in_w + column) * s->in_c + first;
                        const float *v = w + ((o * s->kernel_h + i) * s->kernel_w + j) * depth;
                        for (int32_t c = 0; c < depth; ++c) {
                            sum += u[c] * v[c];
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
