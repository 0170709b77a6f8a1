/* Whether each number is other than zero. */
static void ek_cast_@S(const @FROM *x, int32_t count, uint8_t *y)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = x[i] != 0;
    }
}
