/* needs: window between_f32 */
/* Bilinear resize; scales in input rows and columns. With `back`, from the last pixel to the first. */
static void ek_resize_bilinear_f32(const float *x, const ek_window *s, float scale_h, float scale_w, int32_t half, int32_t back,
                                   float *y)
{
    const int32_t lines = s->batch * s->out_h;
    for (int32_t k = 0; k < lines; ++k) {
        const int32_t line = back ? lines - 1 - k : k;
        const float *image = x + line / s->out_h * s->in_h * s->in_w * s->in_c;
        int32_t row[2], column[2];
        const float v = ek_between_f32(line % s->out_h, scale_h, half, s->in_h, row);
        const float *above = image + row[0] * s->in_w * s->in_c, *below = image + row[1] * s->in_w * s->in_c;
        for (int32_t m = 0; m < s->out_w; ++m) {
            const int32_t j = back ? s->out_w - 1 - m : m;
            const float u = ek_between_f32(j, scale_w, half, s->in_w, column);
            const int32_t left = column[0] * s->in_c, right = column[1] * s->in_c;
            float *to = y + (line * s->out_w + j) * s->in_c;
            for (int32_t e = 0; e < s->in_c; ++e) {
                const float top = above[left + e] * (1.0f - u) + above[right + e] * u;
                const float bottom = below[left + e] * (1.0f - u) + below[right + e] * u;
                to[e] = top * (1.0f - v) + bottom * v;
            }
        }
    }
}
