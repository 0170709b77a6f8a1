/* needs: pool_bounds @CLAMP */
/* Mean of each window, padding not counted, rounded half away from zero. y may be x when there is no padding. */
static void ek_average_pool_2d_@S(const @T *x, const ek_window *s, int32_t low, int32_t high, @T *y)
{
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            int32_t in[4];
            ek_pool_bounds(s, p, in);
            const int32_t count = (in[1] - in[0]) * (in[3] - in[2]);
            for (int32_t c = 0; c < s->in_c; ++c) {
                int32_t sum = 0;
                for (int32_t i = in[0]; i < in[1]; ++i) {
                    for (int32_t j = in[2]; j < in[3]; ++j) {
                        sum += x[(i * s->in_w + j) * s->in_c + c];
                    }
                }
                sum = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
                y[c] = ek_@CLAMP(sum, low, high);
            }
            y += s->out_c;
        }
        x += s->in_h * s->in_w * s->in_c;
    }
}
