/* needs: matrices walk_next rescale_wide */
/* y = a times b, rescaled, for every pair of matrices of the walk. */
static void ek_batch_matmul_s16(const int16_t *a, const int16_t *b, const ek_walk *w, const ek_matrices *m, int32_t multiplier,
                                int32_t shift, int16_t *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t run = 0; run < w->runs; ++run) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const int16_t *u = a + at + i * w->a_step;
            for (int32_t r = 0; r < m->rows; ++r) {
                const int16_t *v = b + bt + i * w->b_step;
                for (int32_t c = 0; c < m->columns; ++c) {
                    int64_t sum = 0;
                    for (int32_t k = 0; k < m->depth; ++k) {
                        sum += (int64_t)u[k * m->a_step] * v[k * m->b_step];
                    }
                    *y++ = ek_rescale_wide(sum, multiplier, shift, -32768, 32767);
                    v += m->b_column;
                }
                u += m->a_row;
            }
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
