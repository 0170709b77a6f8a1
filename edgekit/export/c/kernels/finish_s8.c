/* needs: quantized @SCALE clamp_s8 */
/* The int8 output of a sum. */
static int8_t ek_finish_s8(int32_t sum, int32_t multiplier, int32_t shift, const ek_quantized *q)
{
    return ek_clamp_s8(ek_@SCALE(sum, multiplier, shift) + q->zero_point, @LOW, @HIGH);
}
