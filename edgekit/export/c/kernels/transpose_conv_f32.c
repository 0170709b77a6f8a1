/* needs: window dots_f32 clamp_f32 */
/* Transposed convolution: each output pixel sums over the taps of its residue (see rows and columns of the int8 kernel: number
   of taps, first input row). Weights lie residue by residue: w[residue][out_c][taps][in_c / groups].
   A pixel's outputs four at a time. */
static void ek_transpose_conv_f32(const float *x, const ek_window *s, int32_t groups, const int16_t *rows,
                                  const int16_t *columns, const float *w, const float *bias, float low, float high, float *y)
{
    const int32_t depth = s->in_c / groups;
    const int32_t each = s->out_c / groups;
    for (int32_t i = 0; i < s->stride_h; ++i) {
        for (int32_t j = 0; j < s->stride_w; ++j) {
            const int32_t kernel_h = rows[2 * i], kernel_w = columns[2 * j];
            const int32_t size = kernel_h * kernel_w * depth;
            for (int32_t p = 0; p < s->batch * s->out_h; ++p) {
                const int32_t n = p / s->out_h, r = p % s->out_h;
                if (r % s->stride_h != i) {
                    continue;
                }
                const float *image = x + n * s->in_h * s->in_w * s->in_c;
                const int32_t top = rows[2 * i + 1] + r / s->stride_h;
                int32_t left = columns[2 * j + 1];
                for (int32_t c = j; c < s->out_w; c += s->stride_w, ++left) {
                    float *out = y + (p * s->out_w + c) * s->out_c;
                    for (int32_t o = 0, many = 0; o < s->out_c; o += many) {
                        const int32_t rest = each - o % each;
                        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                        many = rest < 4 ? rest : 4;
                        for (int32_t k = 0; k < kernel_h * kernel_w; ++k) {
                            const int32_t row = top + k / kernel_w * s->dilation_h;
                            const int32_t column = left + k % kernel_w * s->dilation_w;
                            if (row >= 0 && row < s->in_h && column >= 0 && column < s->in_w) {
                                const float *u = image + (row * s->in_w + column) * s->in_c + o / each * depth;
                                ek_dots_f32(u, w + o * size + k * depth, size, depth, many, sums);
                            }
                        }
                        for (int32_t k = 0; k < many; ++k) {
                            out[o + k] = ek_clamp_f32(sums[k] + bias[o + k], low, high);
                        }
                    }
                }
            }
            w += s->out_c * size;
        }
    }
}
