/* needs: outline @HALVES*/
/* bias + x0 . w0, x0 . w1, x1 . w0, x1 . w1 to sum[0..3]; @HELD. */
EK_OUTLINE static void ek_sum_2x2_@S(const int8_t *x0, const int8_t *x1, const int8_t *w, int32_t depth, const int32_t *bias,
                                     int32_t *sum)
{
    uint32_t s00 = (uint32_t)bias[0], s01 = (uint32_t)bias[1], s10 = s00, s11 = s01;
    int32_t a0, a1, b0, b1;
#define EK_MAC                   \
    a0 = *x0++;                   \
    a1 = *x1++;                   \
    b0 = @FIRST           \
    b1 = @SECOND               \
    s00 += (uint32_t)(a0 * b0);   \
    s01 += (uint32_t)(a0 * b1);   \
    s10 += (uint32_t)(a1 * b0);   \
    s11 += (uint32_t)(a1 * b1);
    EK_ROLLED
    for (const int8_t *end = x0 + (depth & ~7); x0 != end;) {
        EK_MAC EK_MAC EK_MAC EK_MAC EK_MAC EK_MAC EK_MAC EK_MAC
    }
    EK_ROLLED
    for (const int8_t *end = x0 + (depth & 7); x0 != end;) {
        EK_MAC
    }
#undef EK_MAC
    sum[0] = (int32_t)s00;
    sum[1] = (int32_t)s01;
    sum[2] = (int32_t)s10;
    sum[3] = (int32_t)s11;
}
