/* needs: window @Q @RESCALE @TAP */
/* Depthwise convolution: output channel c reads input channel c / (out_c / in_c); w[kernel_h][kernel_w][out_c]. Places outside
   the image are 0. Up to 511 places of a window. */
static void ek_depthwise_@S(const int16_t *x, const ek_window *s, const int8_t *w, const ek_@Q *q, int16_t *y)
{
    const int32_t channels = s->out_c, times = channels / s->in_c, e = q->each;
    const int32_t step = s->dilation_w * s->in_c, line = s->dilation_h * s->in_w * s->in_c;
    for (int32_t n = 0; n < s->batch; ++n) {
        int32_t top = -s->pad_top, left = -s->pad_left;
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            int32_t i0 = 0, i1 = s->kernel_h, j0 = 0, j1 = s->kernel_w; /* the part of the window inside the image */
            while (i0 < i1 && top + i0 * s->dilation_h < 0) {
                ++i0;
            }
            while (i1 > i0 && top + (i1 - 1) * s->dilation_h >= s->in_h) {
                --i1;
            }
            while (j0 < j1 && left + j0 * s->dilation_w < 0) {
                ++j0;
            }
            while (j1 > j0 && left + (j1 - 1) * s->dilation_w >= s->in_w) {
                --j1;
            }
            const int16_t *u = x + ((top + i0 * s->dilation_h) * s->in_w + left + j0 * s->dilation_w) * s->in_c;
            const int8_t *v = w + (i0 * s->kernel_w + j0) * channels;
            int32_t c = 0;
            for (; times == 1 && c + 4 <= channels; c += 4) {
                int32_t sum[4] = {0, 0, 0, 0};
                for (int32_t i = 0; i < i1 - i0; ++i) {
                    const int16_t *a = u + i * line + c;
                    const int8_t *b = v + i * s->kernel_w * channels + c;
                    for (int32_t j = j0; j < j1; ++j) {
                        ek_@TAP(a, b, sum);
                        a += step;
                        b += channels;
                    }
                }
                for (int32_t k = c; k < c + 4; ++k) {
                    *y++ = ek_@RESCALE(q->bias[k] + sum[k - c], q->multiplier[k * e]@DEPTHK, q->low, q->high);
                }
            }
            for (; c < channels; ++c) {
                int32_t sum = 0;
                for (int32_t i = 0; i < i1 - i0; ++i) {
                    const int16_t *a = u + i * line + c / times;
                    const int8_t *b = v + i * s->kernel_w * channels + c;
                    for (int32_t j = 0; j < j1 - j0; ++j) {
                        sum += a[j * step] * b[j * channels];
                    }
                }
                *y++ = ek_@RESCALE(q->bias[c] + sum, q->multiplier[c * e]@DEPTHC, q->low, q->high);
            }
            left += s->stride_w;
            if ((p + 1) % s->out_w == 0) {
                left = -s->pad_left;
                top += s->stride_h;
            }
        }
        x += s->in_h * s->in_w * s->in_c;
    }
}
