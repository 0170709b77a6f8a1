/* One number type to another, as C does; what does not fit is undefined. */
static void ek_cast_@S(const @FROM *x, int32_t count, @T *y)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = (@T)x[i];
    }
}
