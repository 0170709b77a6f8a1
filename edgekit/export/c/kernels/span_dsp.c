/* needs: simd window bytes_dsp */
/* `columns` columns from (row, left) of an image and, behind them, bytes that can be read up to `size`, put together in `strip`
   with the zero point where there is no image. */
EK_SMALL static const int8_t *ek_span_dsp(const int8_t *x, const ek_window *s, int32_t row, int32_t left, int32_t columns, int32_t size,
                                 int8_t zero, int8_t *strip)
{
    const int32_t c = s->in_c, d = s->dilation_w;
    const int32_t inside = row >= 0 && row < s->in_h;
    int8_t *to = strip;
    for (int32_t j = 0, run; j < columns; j += run, left += run * d) {
        const int32_t more = columns - j;
        if (inside && left >= 0 && left < s->in_w) { /* columns that lie side by side in the image */
            run = d > 1 ? 1 : more < s->in_w - left ? more : s->in_w - left;
            to = ek_bytes_dsp(x + (row * s->in_w + left) * c, run * c, to);
            continue;
        }
        run = !inside || left > 0 ? more : 1;
        int8_t *filled = to;
        for (int32_t k = 0; k < 4 && k < run * c; ++k) {
            *to++ = zero;
        }
        to = ek_bytes_dsp(filled, run * c - (int32_t)(to - filled), to); /* of itself, onwards */
    }
    while (to < strip + size) {
        *to++ = 0;
    }
    return strip;
}
