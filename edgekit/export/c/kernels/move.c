/* needs: walk_next */
/* Copies a box of x to a box of y, each with its own strides. */
static void ek_move_@S(const @T *x, const ek_walk *w, @T *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, from = 0, to = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            y[to + i * w->b_step] = x[from + i * w->a_step];
        }
        ek_walk_next(w, index, &from, &to);
    }
}
