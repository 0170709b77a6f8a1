/* needs: tile_s16 */
/* Adds the products of both rows with both channels to the sums. */
static void ek_sums_short_s16(ek_tile_s16 *t, int32_t depth)
{
    const int16_t *x0 = t->x0, *x1 = t->x1;
    const int8_t *w0 = t->w0, *w1 = t->w1;
    int32_t s0 = t->sum[0], s1 = t->sum[1], s2 = t->sum[2], s3 = t->sum[3];
    for (int32_t k = 0; k < depth; ++k) {
        s0 += x0[k] * w0[k];
        s1 += x0[k] * w1[k];
        s2 += x1[k] * w0[k];
        s3 += x1[k] * w1[k];
    }
    t->sum[0] = s0;
    t->sum[1] = s1;
    t->sum[2] = s2;
    t->sum[3] = s3;
}
