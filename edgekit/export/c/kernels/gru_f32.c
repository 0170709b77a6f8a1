/* needs: recurrent_f32 gates_f32 sigmoid_f32 */
/* Gates z, r, n. h0, rb: 0 for zero. after: the reset gate comes after the recurrent product. scratch: float[4][units]. */
static void ek_gru_f32(const float *x, const float *h0, const float *rb, const ek_recurrent_f32 *p, int32_t after, void *scratch,
                       float *y, float *h)
{
    const int32_t units = p->units;
    const float *last = p->r + 2 * units * units;
    float *gate = (float *)scratch, *candidate = gate + 2 * units, *inner = gate + 3 * units;
    for (int32_t i = 0; i < p->batch * units; ++i) {
        h[i] = h0 != 0 ? h0[i] : 0.0f;
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t s = 0; s < p->steps; ++s) {
            const int32_t t = p->reverse != 0 ? p->steps - 1 - s : s;
            float *out = p->last != 0 ? y : y + t * units;
            ek_gates_f32(x + t * p->width, p->width, p->w, 3 * units, p->bias, 0, gate);
            ek_gates_f32(h, units, p->r, 2 * units, 0, 1, gate);
            if (after != 0) {
                ek_gates_f32(h, units, last, units, rb, 0, inner);
            }
            for (int32_t i = 0; i < units; ++i) {
                const float reset = ek_sigmoid_f32(gate[units + i]);
                inner[i] = reset * (after != 0 ? inner[i] : h[i]);
            }
            if (after != 0) {
                for (int32_t i = 0; i < units; ++i) {
                    candidate[i] += inner[i];
                }
            } else {
                ek_gates_f32(inner, units, last, units, rb, 1, candidate);
            }
            for (int32_t i = 0; i < units; ++i) {
                const float keep = ek_sigmoid_f32(gate[i]);
                h[i] = (1.0f - keep) * tanhf(candidate[i]) + keep * h[i];
                out[i] = h[i];
            }
        }
        x += p->steps * p->width;
        y += (p->last != 0 ? 1 : p->steps) * units;
        h += units;
    }
}
