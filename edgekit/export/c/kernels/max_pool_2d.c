/* needs: pool_bounds */
/* Largest value of each window, padding left out, kept within low..high. y may be x when there is no padding. */
static void ek_max_pool_2d_@S(const @T *x, const ek_window *s, @T low, @T high, @T *y)
{
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            int32_t in[4];
            ek_pool_bounds(s, p, in);
            for (int32_t c = 0; c < s->in_c; ++c) {
                @T most = low;
                for (int32_t i = in[0]; i < in[1]; ++i) {
                    for (int32_t j = in[2]; j < in[3]; ++j) {
                        const @T value = x[(i * s->in_w + j) * s->in_c + c];
                        most = value > most ? value : most;
                    }
                }
                y[c] = most > high ? high : most;
            }
            y += s->out_c;
        }
        x += s->in_h * s->in_w * s->in_c;
    }
}
