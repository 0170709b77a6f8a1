static void ek_copy_@S(const @T *x, int32_t count, @T *y)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = x[i];
    }
}
