/* needs: pool_bounds clamp_f32 */
/* Mean of each window, padding not counted. y may be x when there is no padding. */
static void ek_average_pool_2d_f32(const float *x, const ek_window *s, float low, float high, float *y)
{
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t p = 0; p < s->out_h * s->out_w; ++p) {
            int32_t in[4];
            ek_pool_bounds(s, p, in);
            const float count = (float)((in[1] - in[0]) * (in[3] - in[2]));
            for (int32_t c = 0; c < s->in_c; ++c) {
                float sum = 0.0f;
                for (int32_t i = in[0]; i < in[1]; ++i) {
                    for (int32_t j = in[2]; j < in[3]; ++j) {
                        sum += x[(i * s->in_w + j) * s->in_c + c];
                    }
                }
                y[c] = ek_clamp_f32(sum / count, low, high);
            }
            y += s->out_c;
        }
        x += s->in_h * s->in_w * s->in_c;
    }
}
