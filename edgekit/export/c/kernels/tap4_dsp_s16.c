/* needs: simd load2 load4 even odd */
/* Adds the products of four channels at one place of a window; compilers multiply halves of words. */
static void ek_tap4_dsp_s16(const int16_t *x, const int8_t *w, int32_t *sum)
{
    const uint32_t a = ek_load2(x), b = ek_load2(x + 2), four = ek_load4(w), p = ek_even(four), q = ek_odd(four);
    sum[0] += (int16_t)(a & 65535) * (int16_t)(p & 65535);
    sum[1] += (int16_t)(a >> 16) * (int16_t)(q & 65535);
    sum[2] += (int16_t)(b & 65535) * (int16_t)(p >> 16);
    sum[3] += (int16_t)(b >> 16) * (int16_t)(q >> 16);
}
