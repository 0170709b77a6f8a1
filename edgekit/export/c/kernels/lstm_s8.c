/* needs: recurrent @G sigmoid_s16 tanh_s16 gate_steps scale clamp_s8 clamp_s16 */
/* Gates i, f, g, o are int16 of scale 2^-12, c int16, h and y int8. h0, c0: 0 for zero. scratch: int16[4][units],
   and what the products need. */
static void ek_@S(const int8_t *x, const int8_t *h0, const int16_t *c0, const ek_recurrent *p, void *scratch, int8_t *y, int8_t *h,
                  int16_t *c)
{
    const int32_t units = p->units;
    int16_t *gate = (int16_t *)scratch;
    int8_t *spare = (int8_t *)(gate + 4 * units);
    for (int32_t i = 0; i < p->batch * units; ++i) {
        h[i] = h0 != 0 ? h0[i] : (int8_t)p->zero_point;
        c[i] = c0 != 0 ? c0[i] : (int16_t)0;
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t s = 0; s < p->steps; ++s) {
            const int32_t t = p->reverse != 0 ? p->steps - 1 - s : s;
            int8_t *out = p->last != 0 ? y : y + t * units;
            ek_@G(x + t * p->width, p->width, p->w, 4, units, p->input, 0, spare, gate);
            ek_@G(h, units, p->r, 4, units, p->recurrent, 1, spare, gate);
            for (int32_t i = 0; i < units; ++i) {
                const int32_t in = ek_sigmoid_s16(p->sigmoid, 3 * gate[i]);
                const int32_t keep = ek_sigmoid_s16(p->sigmoid, 3 * gate[units + i]);
                const int32_t made = ek_tanh_s16(p->sigmoid, 3 * gate[2 * units + i]);
                const int32_t open = ek_sigmoid_s16(p->sigmoid, 3 * gate[3 * units + i]);
                const int32_t old = ek_clamp_s16(ek_scale(keep * c[i], p->multiplier[1], p->shift[1]));
                const int32_t cell = ek_clamp_s16(old + ek_clamp_s16(ek_scale(in * made, p->multiplier[2], p->shift[2])));
                const int32_t shown = ek_tanh_s16(p->sigmoid, ek_gate_steps(cell, p->table_multiplier, p->table_shift));
                c[i] = (int16_t)cell;
                h[i] = ek_clamp_s8(ek_scale(shown * open, p->multiplier[0], p->shift[0]) + p->zero_point, -128, 127);
                out[i] = h[i];
            }
        }
        x += p->steps * p->width;
        y += (p->last != 0 ? 1 : p->steps) * units;
        h += units;
        c += units;
    }
}
