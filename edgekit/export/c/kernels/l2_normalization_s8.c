/* needs: inverse_sqrt scale clamp_s8 */
/* Each row of `depth` divided by its length, in steps of 1/128; y may be x. */
static void ek_l2_normalization_s8(const int8_t *x, int32_t rows, int32_t depth, int32_t zero, int8_t *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        int32_t squares = 0, right = 0;
        for (int32_t k = 0; k < depth; ++k) {
            squares += (x[k] - zero) * (x[k] - zero);
        }
        const int32_t multiplier = ek_inverse_sqrt(squares, &right);
        for (int32_t k = 0; k < depth; ++k) {
            y[k] = ek_clamp_s8(ek_scale(x[k] - zero, multiplier, 7 - right), -128, 127);
        }
        x += depth;
        y += depth;
    }
}
