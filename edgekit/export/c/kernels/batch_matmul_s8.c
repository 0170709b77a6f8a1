/* needs: matrices walk_next scale clamp_s8 */
/* y = a times b, less their zero points and rescaled, for every pair of matrices of the walk. */
static void ek_batch_matmul_s8(const int8_t *a, int32_t a_zero, const int8_t *b, int32_t b_zero, const ek_walk *w,
                               const ek_matrices *m, int32_t multiplier, int32_t shift, int32_t zero_point, int8_t *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t run = 0; run < w->runs; ++run) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const int8_t *u = a + at + i * w->a_step;
            for (int32_t r = 0; r < m->rows; ++r) {
                const int8_t *v = b + bt + i * w->b_step;
                for (int32_t c = 0; c < m->columns; ++c) {
                    uint32_t sum = 0;
                    for (int32_t k = 0; k < m->depth; ++k) {
                        sum += (uint32_t)((u[k * m->a_step] - a_zero) * (v[k * m->b_step] - b_zero));
                    }
                    *y++ = ek_clamp_s8(ek_scale((int32_t)sum, multiplier, shift) + zero_point, -128, 127);
                    v += m->b_column;
                }
                u += m->a_row;
            }
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
