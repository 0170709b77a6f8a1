/* needs: recurrent @G sigmoid_s16 tanh_s16 scale clamp_s8 clamp_s16 */
/* Gates z, r, n are int16 of scale 2^-11, h int16, y int8. h0: 0 for zero. after: the reset gate comes after the recurrent
   product. drop: bits by which h is coarser than 2^-15. scratch: int16[4][units], int8[units],
   and from a multiple of 4 on what the products need. */
static void ek_@S(const int8_t *x, const int16_t *h0, const ek_recurrent *p, int32_t after, int32_t drop, void *scratch, int8_t *y,
                  int16_t *h)
{
    const int32_t units = p->units;
    int16_t *gate = (int16_t *)scratch, *candidate = gate + 2 * units, *inner = gate + 3 * units;
    int8_t *seen = (int8_t *)(inner + units), *spare = seen + (units + 3) / 4 * 4;
    for (int32_t i = 0; i < p->batch * units; ++i) {
        h[i] = h0 != 0 ? h0[i] : (int16_t)0;
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t s = 0; s < p->steps; ++s) {
            const int32_t t = p->reverse != 0 ? p->steps - 1 - s : s;
            int8_t *out = p->last != 0 ? y : y + t * units;
            for (int32_t i = 0; i < units; ++i) {
                seen[i] = ek_clamp_s8(ek_scale(h[i], p->multiplier[0], p->shift[0]) + p->zero_point, -128, 127);
            }
            ek_@G(x + t * p->width, p->width, p->w, 3, units, p->input, 0, spare, gate);
            ek_@G(seen, units, p->r, 2, units, p->recurrent, 1, spare, gate);
            if (after != 0) {
                ek_@G(seen, units, p->final, 1, units, p->recurrent + 2, 0, spare, inner);
            }
            for (int32_t i = 0; i < units; ++i) {
                const int32_t reset = ek_sigmoid_s16(p->sigmoid, 6 * gate[units + i]);
                if (after != 0) {
                    candidate[i] = (int16_t)ek_clamp_s16(candidate[i] + ((reset * inner[i] + 16384) >> 15));
                } else {
                    seen[i] = ek_clamp_s8(ek_scale(reset * h[i], p->multiplier[1], p->shift[1]) + p->zero_point, -128, 127);
                }
            }
            if (after == 0) {
                ek_@G(seen, units, p->final, 1, units, p->recurrent + 2, 1, spare, candidate);
            }
            for (int32_t i = 0; i < units; ++i) {
                const int32_t keep = ek_sigmoid_s16(p->sigmoid, 6 * gate[i]);
                int32_t made = ek_tanh_s16(p->sigmoid, 6 * candidate[i]);
                made = drop >= 0 ? (made + ((1 << drop) >> 1)) >> drop : ek_clamp_s16(made * (1 << -drop));
                h[i] = (int16_t)ek_clamp_s16((keep * h[i] + (32768 - keep) * made + 16384) >> 15);
                out[i] = ek_clamp_s8(ek_scale(h[i], p->multiplier[0], p->shift[0]) + p->zero_point, -128, 127);
            }
        }
        x += p->steps * p->width;
        y += (p->last != 0 ? 1 : p->steps) * units;
        h += units;
    }
}
