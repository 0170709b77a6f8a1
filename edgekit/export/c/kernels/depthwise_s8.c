/* needs: window quantized finish_s8 */
/* Depthwise convolution, one output a channel: w[kernel_h][kernel_w][channels]. The bias holds the whole window's share of
   the input's zero point; where the window leaves the image, padding counts as the zero point and gives that share back. */
static void ek_depthwise_s8(const int8_t *x, const ek_window *s, int32_t zero, const int8_t *w, const ek_quantized *q, int8_t *y)
{
    const int32_t channels = s->out_c;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            const int32_t top = p / s->out_w * s->stride_h - s->pad_top;
            const int32_t left = p % s->out_w * s->stride_w - s->pad_left;
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
            const int32_t cut = i0 > 0 || j0 > 0 || i1 < s->kernel_h || j1 < s->kernel_w;
            for (int32_t c = 0; c < channels; c += 4) {
                const int32_t lanes = channels - c < 4 ? channels - c : 4;
                uint32_t sum[4] = {0, 0, 0, 0};
                for (int32_t l = 0; l < lanes; ++l) {
                    sum[l] = (uint32_t)q->bias[c + l];
                }
                for (int32_t i = i0; i < i1; ++i) {
                    const int8_t *u = x + ((top + i * s->dilation_h) * s->in_w + left + j0 * s->dilation_w) * channels + c;
                    const int8_t *v = w + (i * s->kernel_w + j0) * channels + c;
                    for (int32_t j = j0; j < j1; ++j) {
                        if (lanes == 4) {
                            sum[0] += (uint32_t)(u[0] * v[0]);
                            sum[1] += (uint32_t)(u[1] * v[1]);
                            sum[2] += (uint32_t)(u[2] * v[2]);
                            sum[3] += (uint32_t)(u[3] * v[3]);
                        } else {
                            for (int32_t l = 0; l < lanes; ++l) {
                                sum[l] += (uint32_t)(u[l] * v[l]);
                            }
                        }
                        u += s->dilation_w * channels;
                        v += channels;
                    }
                }
                if (cut) {
                    for (int32_t i = 0; i < s->kernel_h; ++i) {
                        for (int32_t j = 0; j < s->kernel_w; ++j) {
                            if (i < i0 || i >= i1 || j < j0 || j >= j1) {
                                const int8_t *v = w + (i * s->kernel_w + j) * channels + c;
                                for (int32_t l = 0; l < lanes; ++l) {
                                    sum[l] += (uint32_t)(zero * v[l]);
                                }
                            }
                        }
                    }
                }
                for (int32_t l = 0; l < lanes; ++l) {
                    y[c + l] = ek_finish_s8(sum[l], q, c + l);
                }
            }
            y += channels;
        }
        x += s->in_h * s->in_w * channels;
    }
}
