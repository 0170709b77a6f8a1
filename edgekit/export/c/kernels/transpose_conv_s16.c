/* needs: patch_s16 rows_@S */
/* Transposed convolution, residue by residue as in transpose_conv_s8. Weights lie residue by residue:
   w[residue][out_c][taps * in_c / groups]. scratch[2][most taps * in_c / groups]. */
static void ek_transpose_conv_@S(const int16_t *x, const ek_window *s, int32_t groups, const int16_t *rows, const int16_t *columns,
                                 const int8_t *w, const ek_@Q *q, int16_t *scratch, int16_t *y)
{
    const int32_t depth = s->in_c / groups;
    const int32_t channels = s->out_c / groups;
    ek_window taps = *s;
    for (int32_t i = 0; i < s->stride_h; ++i) {
        for (int32_t j = 0; j < s->stride_w; ++j) {
            taps.kernel_h = rows[2 * i];
            taps.kernel_w = columns[2 * j];
            const int32_t size = taps.kernel_h * taps.kernel_w * depth;
            for (int32_t g = 0; g < s->batch * groups; ++g) {
                const int32_t n = g / groups, part_of = g % groups, first = part_of * channels;
                const int16_t *image = x + n * s->in_h * s->in_w * s->in_c;
                ek_@Q part = *q;
                part.bias += first;
                part.multiplier += first * q->each;
                @SHIFTS
                int32_t top = rows[2 * i + 1];
                for (int32_t r = i; r < s->out_h; r += s->stride_h, ++top) {
                    int16_t *out = y + ((n * s->out_h + r) * s->out_w + j) * s->out_c + first;
                    int32_t left = columns[2 * j + 1], waiting = 0;
                    for (int32_t c = j; c < s->out_w; c += s->stride_w, ++left) {
                        ek_patch_s16(image, &taps, top, left, part_of * depth, depth, 0, scratch + waiting * size);
                        if (waiting || c + s->stride_w >= s->out_w) {
                            const int32_t step = s->stride_w * s->out_c;
                            ek_rows_@S(scratch, waiting + 1, size, w + first * size, channels, &part, out, step);
                            out += 2 * step;
                        }
                        waiting = !waiting;
                    }
                }
            }
            w += s->out_c * taps.kernel_h * taps.kernel_w * depth;
        }
    }
}
