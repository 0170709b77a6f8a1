/* needs: simd load4 even odd smlad */
/* The sum of x[4 * words]. */
EK_ALONE static int32_t ek_total_dsp(const int8_t *x, int32_t words)
{
    uint32_t sum = 0;
    for (const int8_t *end = x + 4 * words; x != end; x += 4) {
        const uint32_t four = ek_load4(x);
        sum = ek_smlad(ek_odd(four), 0x00010001u, ek_smlad(ek_even(four), 0x00010001u, sum));
    }
    return (int32_t)sum;
}
