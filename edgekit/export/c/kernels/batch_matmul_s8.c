/* needs: matrices walk_next scale clamp_s8 */
/* y = a times b, less their zero points and rescaled, for every pair of matrices of the walk: four columns at a time. */
static void ek_batch_matmul_s8(const int8_t *a, int32_t a_zero, const int8_t *b, int32_t b_zero, const ek_walk *w,
                               const ek_matrices *m, int32_t multiplier, int32_t shift, int32_t zero_point, int8_t *y)
{
    const int32_t depth = m->depth, a_step = m->a_step, b_step = m->b_step, across = m->b_column;
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t run = 0; run < w->runs; ++run) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const int8_t *u = a + at + i * w->a_step;
            for (int32_t r = 0; r < m->rows; ++r) {
                const int8_t *v = b + bt + i * w->b_step;
                uint32_t share = 0; /* of b's zero point in every sum of this row */
                for (int32_t k = 0; k < depth; ++k) {
                    share -= (uint32_t)(b_zero * (u[k * a_step] - a_zero));
                }
                int32_t c = 0;
                for (; c + 4 <= m->columns; c += 4) {
                    uint32_t s0 = share, s1 = share, s2 = share, s3 = share;
                    const int8_t *p = u, *q = v;
                    for (int32_t k = 0; k < depth; ++k) {
                        const int32_t x = *p - a_zero;
                        s0 += (uint32_t)(x * q[0]);
                        s1 += (uint32_t)(x * q[across]);
                        s2 += (uint32_t)(x * q[2 * across]);
                        s3 += (uint32_t)(x * q[3 * across]);
                        p += a_step;
                        q += b_step;
                    }
                    y[0] = ek_clamp_s8(ek_scale((int32_t)s0, multiplier, shift) + zero_point, -128, 127);
                    y[1] = ek_clamp_s8(ek_scale((int32_t)s1, multiplier, shift) + zero_point, -128, 127);
                    y[2] = ek_clamp_s8(ek_scale((int32_t)s2, multiplier, shift) + zero_point, -128, 127);
                    y[3] = ek_clamp_s8(ek_scale((int32_t)s3, multiplier, shift) + zero_point, -128, 127);
                    y += 4;
                    v += 4 * across;
                }
                for (; c < m->columns; ++c) {
                    uint32_t sum = share;
                    for (int32_t k = 0; k < depth; ++k) {
                        sum += (uint32_t)((u[k * a_step] - a_zero) * v[k * b_step]);
                    }
                    *y++ = ek_clamp_s8(ek_scale((int32_t)sum, multiplier, shift) + zero_point, -128, 127);
                    v += across;
                }
                u += m->a_row;
            }
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
