/* needs: quantized finish_s8 outline */
/* The int8 outputs of four sums; m and r are their multipliers and shifts. */
EK_OUTLINE static void ek_finish4_s8(const int32_t *sum, const int32_t *m, const int8_t *r, const ek_quantized *q, int8_t *y)
{
    const int32_t e = q->each;
    y[0] = ek_finish_s8(sum[0], m[0], r[0], q);
    y[1] = ek_finish_s8(sum[1], m[e], r[e], q);
    y[2] = ek_finish_s8(sum[2], m[2 * e], r[2 * e], q);
    y[3] = ek_finish_s8(sum[3], m[3 * e], r[3 * e], q);
}
