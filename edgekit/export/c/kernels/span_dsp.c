/* needs: window */
/* `columns` columns from (row, left) of an image and, behind them, bytes that can be read up to `size`: in the image itself, or
   put together in `strip` with the zero point where there is no image. */
static const int8_t *ek_span_dsp(const int8_t *x, const ek_window *s, int32_t row, int32_t left, int32_t columns, int32_t size,
                                 int8_t zero, int8_t *strip)
{
    const int32_t c = s->in_c, d = s->dilation_w, at = (row * s->in_w + left) * c;
    const int32_t inside = row >= 0 && row < s->in_h;
    if (inside && d == 1 && left >= 0 && left + columns <= s->in_w && at + size <= s->in_h * s->in_w * c) {
        return x + at;
    }
    int8_t *to = strip;
    for (int32_t j = 0; j < columns; ++j, left += d) {
        if (inside && left >= 0 && left < s->in_w) {
            const int8_t *from = x + (row * s->in_w + left) * c;
            for (int32_t k = 0; k < c; ++k) {
                *to++ = from[k];
            }
        } else {
            for (int32_t k = 0; k < c; ++k) {
                *to++ = zero;
            }
        }
    }
    while (to < strip + size) {
        *to++ = 0;
    }
    return strip;
}
