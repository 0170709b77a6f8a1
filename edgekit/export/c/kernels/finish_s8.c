/* needs: quantized @SCALE clamp_s8 */
/* The int8 output of channel o from its sum. */
static int8_t ek_finish_s8(uint32_t sum, const ek_quantized *q, int32_t o)
{
    const int32_t at = o * q->each;
    return ek_clamp_s8(ek_@SCALE((int32_t)sum, q->multiplier[at], q->shift[at]) + q->zero_point, q->low, q->high);
}
