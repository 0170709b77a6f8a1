/* y may be x. */
static void ek_@OP_@S(const @T *x, int32_t count, @T *y)
{
    for (int32_t i = 0; i < count; ++i) {
        const @T v = x[i];
        y[i] = @E;
    }
}
