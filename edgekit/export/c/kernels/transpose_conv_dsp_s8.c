/* needs: conv_dsp_s8 */
/* One residue of a transposed convolution, s: a convolution of stride 1, of which a line of outputs at a time is made in `line`
   and then put in its place in y, whose pixels lie step_w bytes apart, its lines step_h and its images `whole`. */
static void ek_transpose_conv_dsp_s8(const int8_t *x, const ek_window *s, int8_t zero, const int32_t *w, const ek_packed *q,
                                     int32_t step_h, int32_t step_w, int32_t whole, int8_t *scratch, int8_t *line, int8_t *y)
{
    ek_window one = *s;
    one.batch = 1;
    one.out_h = 1;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t r = 0; r < s->out_h; ++r) {
            one.pad_top = s->pad_top - r;
            ek_conv_dsp_s8(x, &one, zero, w, q, scratch, line);
            const int8_t *from = line;
            for (int32_t c = 0; c < s->out_w; ++c) {
                int8_t *to = y + r * step_h + c * step_w;
                for (int32_t o = 0; o < s->out_c; ++o) {
                    to[o] = *from++;
                }
            }
        }
        x += s->in_h * s->in_w * s->in_c;
        y += whole;
    }
}
