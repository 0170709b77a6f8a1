/* needs: simd scale_right */
/* x * multiplier * 2^(-31 - right), rounded twice; |x| < 2^30, right 1..31. */
EK_EITHER static int32_t ek_rescaled(int32_t x, int32_t multiplier, int32_t right)
{
    return ek_scale_right(x, multiplier, right - 1);
}
