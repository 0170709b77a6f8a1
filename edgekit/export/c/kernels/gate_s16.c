/* needs: @FUNCTION */
/* The @OP of each x in steps of 1 / (24 * 512), to which (x * multiplier + half) >> shift brings it; y may be x. */
static void ek_@OP_of_s16(const int16_t *x, const uint16_t *table, int32_t count, int32_t multiplier, int32_t shift, int16_t *y)
{
    const int32_t half = shift > 0 ? (int32_t)1 << (shift - 1) : 0;
    for (int32_t i = 0; i < count; ++i) {
        y[i] = (int16_t)ek_@FUNCTION(table, (x[i] * multiplier + half) >> shift);
    }
}
