/* needs: taps dots_f32 clamp_f32 */
/* Convolution: w[out_c][kernel_h][kernel_w][in_c / groups]. Outside the image is zero. A pixel's outputs four at a time. */
static void ek_conv_f32(const float *x, const ek_window *s, int32_t groups, const float *w, const float *bias, float low,
                        float high, float *y)
{
    const int32_t depth = s->in_c / groups, each = s->out_c / groups, size = s->kernel_h * s->kernel_w * depth;
    const int32_t joined = groups == 1 && s->dilation_w == 1; /* the taps of a row are one run, of x and of w */
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            const int32_t top = p / s->out_w * s->stride_h - s->pad_top;
            const int32_t left = p % s->out_w * s->stride_w - s->pad_left;
            int32_t taps[4];
            ek_taps(s, top, left, taps);
            const int32_t columns = taps[3] - taps[2];
            const int32_t runs = joined ? 1 : columns, length = joined ? columns * depth : depth;
            for (int32_t o = 0, many = 0; o < s->out_c; o += many) {
                const int32_t rest = each - o % each;
                float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                many = rest < 4 ? rest : 4;
                for (int32_t i = taps[0]; i < taps[1]; ++i) {
                    const float *v = w + o * size + (i * s->kernel_w + taps[2]) * depth;
                    const float *u = x + ((top + i * s->dilation_h) * s->in_w + left + taps[2] * s->dilation_w) * s->in_c;
                    u += o / each * depth;
                    for (int32_t j = 0; j < runs; ++j) {
                        ek_dots_f32(u + j * s->dilation_w * s->in_c, v + j * depth, size, length, many, sums);
                    }
                }
                for (int32_t i = 0; i < many; ++i) {
                    y[o + i] = ek_clamp_f32(sums[i] + bias[o + i], low, high);
                }
            }
            y += s->out_c;
        }
        x += s->in_h * s->in_w * s->in_c;
    }
}
