/* needs: recurrent @G tanh_s16 scale clamp_s8 */
/* y = h = tanh of the sum (int16 of scale 2^-11), or its positive part (int16 of a 64th of y's scale). h0: 0 for zero.
   scratch: int16[units], and from a multiple of 4 on what the products need. */
static void ek_@S(const int8_t *x, const int8_t *h0, const ek_recurrent *p, int32_t relu, void *scratch, int8_t *y, int8_t *h)
{
    const int32_t units = p->units;
    int16_t *total = (int16_t *)scratch;
    int8_t *spare = (int8_t *)(total + (units + 1) / 2 * 2);
    for (int32_t i = 0; i < p->batch * units; ++i) {
        h[i] = h0 != 0 ? h0[i] : (int8_t)p->zero_point;
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t s = 0; s < p->steps; ++s) {
            const int32_t t = p->reverse != 0 ? p->steps - 1 - s : s;
            int8_t *out = p->last != 0 ? y : y + t * units;
            ek_@G(x + t * p->width, p->width, p->w, 1, units, p->input, 0, spare, total);
            ek_@G(h, units, p->r, 1, units, p->recurrent, 1, spare, total);
            for (int32_t i = 0; i < units; ++i) {
                const int32_t v = total[i];
                const int32_t made = relu != 0 ? ((v < 0 ? 0 : v) + 32) >> 6
                                               : ek_scale(ek_tanh_s16(p->sigmoid, 6 * v), p->multiplier[0], p->shift[0]);
                h[i] = ek_clamp_s8(made + p->zero_point, -128, 127);
                out[i] = h[i];
            }
        }
        x += p->steps * p->width;
        y += (p->last != 0 ? 1 : p->steps) * units;
        h += units;
    }
}
