/* needs: matrices walk_next */
/* y = a times b for every pair of matrices of the walk. A row's results four at a time. */
static void ek_batch_matmul_f32(const float *a, const float *b, const ek_walk *w, const ek_matrices *m, float *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t run = 0; run < w->runs; ++run) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const float *u = a + at + i * w->a_step;
            for (int32_t r = 0; r < m->rows; ++r) {
                const float *v = b + bt + i * w->b_step;
                int32_t c = 0;
                for (; c + 4 <= m->columns; c += 4) {
                    const float *v1 = v + m->b_column, *v2 = v1 + m->b_column, *v3 = v2 + m->b_column;
                    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                    for (int32_t k = 0; k < m->depth; ++k) {
                        const float t = u[k * m->a_step];
                        sums[0] += t * v[k * m->b_step];
                        sums[1] += t * v1[k * m->b_step];
                        sums[2] += t * v2[k * m->b_step];
                        sums[3] += t * v3[k * m->b_step];
                    }
                    for (int32_t k = 0; k < 4; ++k) {
                        *y++ = sums[k];
                    }
                    v = v3 + m->b_column;
                }
                for (; c < m->columns; ++c) {
                    float sum = 0.0f;
                    for (int32_t k = 0; k < m->depth; ++k) {
                        sum += u[k * m->a_step] * v[k * m->b_step];
                    }
                    *y++ = sum;
                    v += m->b_column;
                }
                u += m->a_row;
            }
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
