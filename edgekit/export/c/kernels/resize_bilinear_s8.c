/* needs: window between_s8 */
/* Bilinear resize; scales in 1024ths of an input row and column. With `back`, from the last pixel to the first. */
static void ek_resize_bilinear_s8(const int8_t *x, const ek_window *s, int32_t scale_h, int32_t scale_w, int32_t half,
                                  int32_t back, int8_t *y)
{
    const int32_t lines = s->batch * s->out_h;
    for (int32_t k = 0; k < lines; ++k) {
        const int32_t line = back ? lines - 1 - k : k;
        const int8_t *image = x + line / s->out_h * s->in_h * s->in_w * s->in_c;
        int32_t row[3];
        ek_between_s8(line % s->out_h, scale_h, half, s->in_h, row);
        const int8_t *above = image + row[0] * s->in_w * s->in_c, *below = image + row[1] * s->in_w * s->in_c;
        for (int32_t m = 0; m < s->out_w; ++m) {
            const int32_t j = back ? s->out_w - 1 - m : m;
            int32_t column[3];
            ek_between_s8(j, scale_w, half, s->in_w, column);
            const int32_t left = column[0] * s->in_c, right = column[1] * s->in_c;
            const int32_t a = (1024 - row[2]) * (1024 - column[2]), b = (1024 - row[2]) * column[2];
            const int32_t c = row[2] * (1024 - column[2]), d = row[2] * column[2];
            int8_t *to = y + (line * s->out_w + j) * s->in_c;
            for (int32_t e = 0; e < s->in_c; ++e) {
                const int32_t sum = above[left + e] * a + above[right + e] * b + below[left + e] * c + below[right + e] * d;
                to[e] = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
            }
        }
    }
}
