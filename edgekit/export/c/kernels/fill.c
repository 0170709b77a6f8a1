static void ek_fill_@S(@T value, int32_t count, @T *y)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = value;
    }
}
