/* needs: window */
/* y's pixel (i, j) is x's pixel (rows[i], columns[j]). With `back`, from the last pixel to the first: then y may begin where x
   does, or after it, as long as no pixel lies before its source. */
static void ek_resize_nearest_@S(const @T *x, const ek_window *s, const uint16_t *rows, const uint16_t *columns, int32_t back,
                                 @T *y)
{
    const int32_t lines = s->batch * s->out_h;
    for (int32_t k = 0; k < lines; ++k) {
        const int32_t line = back ? lines - 1 - k : k;
        const @T *from = x + (line / s->out_h * s->in_h + rows[line % s->out_h]) * s->in_w * s->in_c;
        @T *to = y + line * s->out_w * s->in_c;
        for (int32_t m = 0; m < s->out_w; ++m) {
            const int32_t j = back ? s->out_w - 1 - m : m;
            const @T *pixel = from + columns[j] * s->in_c;
            @T *place = to + j * s->in_c;
            if (back) {
                for (int32_t c = s->in_c - 1; c >= 0; --c) {
                    place[c] = pixel[c];
                }
            } else {
                for (int32_t c = 0; c < s->in_c; ++c) {
                    place[c] = pixel[c];
                }
            }
        }
    }
}
