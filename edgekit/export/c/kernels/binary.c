/* needs: walk_next @NEEDS */
/* y = @WORD; y may be a or b where it is of their type and no axis is repeated. */
static void ek_@OP_@S(const @T *a, const @T *b, const ek_walk *w, @R *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            const @T u = a[at + i * w->a_step], v = b[bt + i * w->b_step];
            *y++ = (@R)(@E);
        }
        ek_walk_next(w, index, &at, &bt);
    }
}
