/* needs: @NEEDS */
/* y may be x. */
static void ek_@OP_f32(const float *x, @Pint32_t count, float *y)
{
    for (int32_t i = 0; i < count; ++i) {
        const float v = x[i];
        y[i] = @E;
    }
}
