/* needs: scale */
/* @FROM of one scale to @TO of another. */
static void ek_requantize_@S(const @FROM *x, int32_t zero, int32_t count, int32_t multiplier, int32_t shift, int32_t zero_point,
                             @TO *y)
{
    for (int32_t i = 0; i < count; ++i) {
        const int32_t v = ek_scale(x[i] - zero, multiplier, shift) + zero_point;
        y[i] = (@TO)(v < @LOW ? @LOW : v > @HIGH ? @HIGH : v);
    }
}
