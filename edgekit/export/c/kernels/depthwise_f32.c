/* needs: taps clamp_f32 */
/* Depthwise convolution, out_c / in_c outputs a channel: w[kernel_h][kernel_w][out_c]. Outside the image is zero. Four outputs at
   a time where each has a channel of its own. */
static void ek_depthwise_f32(const float *x, const ek_window *s, const float *w, const float *bias, float low, float high, float *y)
{
    const int32_t each = s->out_c / s->in_c;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            const int32_t top = p / s->out_w * s->stride_h - s->pad_top;
            const int32_t left = p % s->out_w * s->stride_w - s->pad_left;
            int32_t taps[4], o = 0;
            ek_taps(s, top, left, taps);
            for (; each == 1 && o + 4 <= s->out_c; o += 4) {
                float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
                for (int32_t i = taps[0]; i < taps[1]; ++i) {
                    const float *u = x + ((top + i * s->dilation_h) * s->in_w + left + taps[2] * s->dilation_w) * s->in_c + o;
                    const float *v = w + (i * s->kernel_w + taps[2]) * s->out_c + o;
                    for (int32_t j = taps[2]; j < taps[3]; ++j) {
                        a += u[0] * v[0];
                        b += u[1] * v[1];
                        c += u[2] * v[2];
                        d += u[3] * v[3];
                        u += s->dilation_w * s->in_c;
                        v += s->out_c;
                    }
                }
                y[o] = ek_clamp_f32(a + bias[o], low, high);
                y[o + 1] = ek_clamp_f32(b + bias[o + 1], low, high);
                y[o + 2] = ek_clamp_f32(c + bias[o + 2], low, high);
                y[o + 3] = ek_clamp_f32(d + bias[o + 3], low, high);
            }
            for (; o < s->out_c; ++o) {
                float sum = 0.0f;
                for (int32_t i = taps[0]; i < taps[1]; ++i) {
                    const int32_t first = (top + i * s->dilation_h) * s->in_w + left;
                    for (int32_t j = taps[2]; j < taps[3]; ++j) {
                        sum += x[(first + j * s->dilation_w) * s->in_c + o / each] * w[(i * s->kernel_w + j) * s->out_c + o];
                    }
                }
                y[o] = ek_clamp_f32(sum + bias[o], low, high);
            }
            y += s->out_c;
        }
        x += s->in_h * s->in_w * s->in_c;
    }
}
