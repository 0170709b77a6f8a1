/* needs: patch_s8 dot_s8 dot2_s8 */
/* Transposed convolution. Output rows i, i + stride, i + 2 * stride, ... read the same taps: together with the columns of one
   residue they are a convolution of stride 1, whose windows are laid out in `scratch` two by two. rows[i] holds the number of
   taps of residue i and the first input row that output row i reads; columns[j] the same. Weights and biases lie residue by
   residue: w[residue][out_c][taps * in_c / groups]. scratch[2][most taps * in_c / groups]. */
static void ek_transpose_conv_s8(const int8_t *x, const ek_window *s, int32_t groups, int8_t zero, const int16_t *rows,
                                 const int16_t *columns, const int8_t *w, const ek_quantized *q, int8_t *scratch, int8_t *y)
{
    const int32_t depth = s->in_c / groups;
    const int32_t channels = s->out_c / groups;
    const int32_t *bias = q->bias;
    ek_window taps = *s;
    for (int32_t i = 0; i < s->stride_h; ++i) {
        for (int32_t j = 0; j < s->stride_w; ++j) {
            taps.kernel_h = rows[2 * i];
            taps.kernel_w = columns[2 * j];
            const int32_t size = taps.kernel_h * taps.kernel_w * depth;
            for (int32_t g = 0; g < s->batch * groups; ++g) {
                const int32_t n = g / groups, first = g % groups;
                const int8_t *image = x + n * s->in_h * s->in_w * s->in_c;
                const int8_t *weights = w + first * channels * size;
                ek_quantized part = *q;
                part.bias = bias + first * channels;
                part.multiplier += first * channels * q->each;
                part.shift += first * channels * q->each;
                int8_t *out[2];
                int32_t waiting = 0, top = rows[2 * i + 1];
                for (int32_t r = i; r < s->out_h; r += s->stride_h, ++top) {
                    int32_t left = columns[2 * j + 1];
                    for (int32_t c = j; c < s->out_w; c += s->stride_w, ++left) {
                        ek_patch_s8(image, &taps, top, left, first * depth, depth, zero, scratch + waiting * size);
                        out[waiting] = y + ((n * s->out_h + r) * s->out_w + c) * s->out_c + first * channels;
                        if (waiting) {
                            ek_dot2_s8(scratch, scratch + size, size, weights, channels, &part, out[0], out[1]);
                        }
                        waiting = !waiting;
                    }
                }
                if (waiting) {
                    ek_dot_s8(scratch, size, weights, channels, &part, out[0]);
                }
            }
            w += s->out_c * taps.kernel_h * taps.kernel_w * depth;
            bias += s->out_c;
        }
    }
}
