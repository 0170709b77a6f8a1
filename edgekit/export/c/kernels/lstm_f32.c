/* needs: recurrent_f32 gates_f32 sigmoid_f32 */
/* Gates i, f, g, o. h0, c0: 0 for zero. scratch: float[4][units]. */
static void ek_lstm_f32(const float *x, const float *h0, const float *c0, const ek_recurrent_f32 *p, void *scratch, float *y,
                        float *h, float *c)
{
    const int32_t units = p->units;
    float *gate = (float *)scratch;
    for (int32_t i = 0; i < p->batch * units; ++i) {
        h[i] = h0 != 0 ? h0[i] : 0.0f;
        c[i] = c0 != 0 ? c0[i] : 0.0f;
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t s = 0; s < p->steps; ++s) {
            const int32_t t = p->reverse != 0 ? p->steps - 1 - s : s;
            float *out = p->last != 0 ? y : y + t * units;
            ek_gates_f32(x + t * p->width, p->width, p->w, 4 * units, p->bias, 0, gate);
            ek_gates_f32(h, units, p->r, 4 * units, 0, 1, gate);
            for (int32_t i = 0; i < units; ++i) {
                c[i] = ek_sigmoid_f32(gate[units + i]) * c[i] + ek_sigmoid_f32(gate[i]) * tanhf(gate[2 * units + i]);
                h[i] = ek_sigmoid_f32(gate[3 * units + i]) * tanhf(c[i]);
                out[i] = h[i];
            }
        }
        x += p->steps * p->width;
        y += (p->last != 0 ? 1 : p->steps) * units;
        h += units;
        c += units;
    }
}
