/* needs: fours_dsp_s16 */
/* Adds the products of both rows with both channels to the sums; the weights of each whole four in the order 0, 2, 1, 3. */
static void ek_sums_short_dsp_s16(ek_tile_s16 *t, int32_t depth)
{
    t->depth = depth >> 2;
    if (t->depth > 0) {
        ek_fours_dsp_s16(t);
    }
    for (int32_t k = depth & ~3; k < depth; ++k) {
        t->sum[0] += t->x0[k] * t->w0[k];
        t->sum[1] += t->x0[k] * t->w1[k];
        t->sum[2] += t->x1[k] * t->w0[k];
        t->sum[3] += t->x1[k] * t->w1[k];
    }
}
