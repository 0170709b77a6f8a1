/* needs: window quantized taps_s8 finish_s8 finish4_s8 */
/* Depthwise convolution, one output a channel. The weights of four channels lie together, w[channels / 4][kernel_h][kernel_w][4];
   those of the channels left over follow one by one, [kernel_h][kernel_w] each. The bias holds the share of the input's zero
   point for the whole window, so places outside the image count as the zero point. */
static void ek_depthwise_s8(const int8_t *x, const ek_window *s, int8_t zero, const int8_t *w, const ek_quantized *q, int8_t *y)
{
    const int8_t outside[4] = {zero, zero, zero, zero};
    const int32_t channels = s->out_c, rows = s->kernel_h, columns = s->kernel_w, e = q->each;
    const int32_t step = s->dilation_w * channels, line = s->dilation_h * s->in_w * channels;
    for (int32_t n = 0; n < s->batch; ++n) {
        int32_t top = -s->pad_top, left = -s->pad_left;
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            int32_t i0 = 0, i1 = rows, j0 = 0, j1 = columns; /* the part of the window inside the image */
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
            const int8_t *u = x + ((top + i0 * s->dilation_h) * s->in_w + left + j0 * s->dilation_w) * channels;
            const int8_t *v = w;
            const int32_t *m = q->multiplier;
            const int8_t *r = q->shift;
            int32_t c = 0;
            for (; c + 4 <= channels; c += 4) {
                int32_t sum[4];
                ek_taps_s8(u + c, step, line - (j1 - j0) * step, v + 4 * (i0 * columns + j0), 4 * (columns - j1 + j0), i1 - i0,
                           j1 - j0, q->bias + c, sum);
                if (i0 > 0) {
                    ek_taps_s8(outside, 0, 0, v, 0, i0, columns, sum, sum);
                }
                if (i1 < rows) {
                    ek_taps_s8(outside, 0, 0, v + 4 * i1 * columns, 0, rows - i1, columns, sum, sum);
                }
                if (j0 > 0) {
                    ek_taps_s8(outside, 0, 0, v + 4 * i0 * columns, 4 * (columns - j0), i1 - i0, j0, sum, sum);
                }
                if (j1 < columns) {
                    ek_taps_s8(outside, 0, 0, v + 4 * (i0 * columns + j1), 4 * j1, i1 - i0, columns - j1, sum, sum);
                }
                ek_finish4_s8(sum, m, r, q, y);
                m += 4 * e;
                r += 4 * e;
                y += 4;
                v += 4 * rows * columns;
            }
            for (; c < channels; ++c) {
                uint32_t sum = (uint32_t)q->bias[c];
                for (int32_t i = 0; i < rows; ++i) {
                    for (int32_t j = 0; j < columns; ++j) {
                        const int32_t inside = i >= i0 && i < i1 && j >= j0 && j < j1;
                        sum += (uint32_t)((inside ? u[(i - i0) * line + (j - j0) * step + c] : zero) * *v++);
                    }
                }
                *y++ = ek_finish_s8((int32_t)sum, *m, *r, q);
                m += e;
                r += e;
            }
            left += s->stride_w;
            if ((p + 1) % s->out_w == 0) {
                left = -s->pad_left;
                top += s->stride_h;
            }
        }
        x += s->in_h * s->in_w * channels;
    }
}
