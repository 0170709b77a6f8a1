/* needs: recurrent_f32 gates_f32 */
/* y = h = tanh of the sum, or its positive part. h0: 0 for zero. scratch: float[units]. */
static void ek_rnn_f32(const float *x, const float *h0, const ek_recurrent_f32 *p, int32_t relu, void *scratch, float *y, float *h)
{
    const int32_t units = p->units;
    float *total = (float *)scratch;
    for (int32_t i = 0; i < p->batch * units; ++i) {
        h[i] = h0 != 0 ? h0[i] : 0.0f;
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t s = 0; s < p->steps; ++s) {
            const int32_t t = p->reverse != 0 ? p->steps - 1 - s : s;
            float *out = p->last != 0 ? y : y + t * units;
            ek_gates_f32(x + t * p->width, p->width, p->w, units, p->bias, 0, total);
            ek_gates_f32(h, units, p->r, units, 0, 1, total);
            for (int32_t i = 0; i < units; ++i) {
                h[i] = relu == 0 ? tanhf(total[i]) : total[i] < 0.0f ? 0.0f : total[i];
                out[i] = h[i];
            }
        }
        x += p->steps * p->width;
        y += (p->last != 0 ? 1 : p->steps) * units;
        h += units;
    }
}
