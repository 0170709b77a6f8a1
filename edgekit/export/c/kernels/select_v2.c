/* needs: walk3 */
/* y = c ? a : b. */
static void ek_select_v2_@S(const uint8_t *c, const @T *a, const @T *b, const ek_walk3 *w, @T *y)
{
    int32_t index[5] = {0, 0, 0, 0, 0}, ct = 0, at = 0, bt = 0;
    for (int32_t r = 0; r < w->runs; ++r) {
        for (int32_t i = 0; i < w->inner; ++i) {
            *y++ = c[ct + i * w->a_step] ? a[at + i * w->b_step] : b[bt + i * w->c_step];
        }
        for (int32_t axis = 4; axis >= 0; --axis) {
            ct += w->a_stride[axis];
            at += w->b_stride[axis];
            bt += w->c_stride[axis];
            if (++index[axis] < w->size[axis]) {
                break;
            }
            ct -= w->size[axis] * w->a_stride[axis];
            at -= w->size[axis] * w->b_stride[axis];
            bt -= w->size[axis] * w->c_stride[axis];
            index[axis] = 0;
        }
    }
}
