/* needs: walk */
/* Moves to the next run: index[] counts along the outer axes, a and b are the places in the two arrays. */
static void ek_walk_next(const ek_walk *w, int32_t *index, int32_t *a, int32_t *b)
{
    for (int32_t axis = 4; axis >= 0; --axis) {
        *a += w->a_stride[axis];
        *b += w->b_stride[axis];
        if (++index[axis] < w->size[axis]) {
            return;
        }
        *a -= w->size[axis] * w->a_stride[axis];
        *b -= w->size[axis] * w->b_stride[axis];
        index[axis] = 0;
    }
}
