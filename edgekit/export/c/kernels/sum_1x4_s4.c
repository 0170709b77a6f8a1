/* needs: outline low_s4 */
/* bias + x . w0, x . w1, x . w2, x . w3 to sum[0..3]; a byte of w01 holds a weight of w0 and, above, one of w1. */
EK_OUTLINE static void ek_sum_1x4_s4(const int8_t *x, const int8_t *w01, const int8_t *w23, int32_t depth,
                                     const int32_t *bias, int32_t *sum)
{
    uint32_t s0 = (uint32_t)bias[0], s1 = (uint32_t)bias[1], s2 = (uint32_t)bias[2], s3 = (uint32_t)bias[3];
    int32_t a;
    int8_t b;
#define EK_MAC                           \
    a = *x++;                            \
    b = *w01++;                          \
    s0 += (uint32_t)(a * ek_low_s4(b));  \
    s1 += (uint32_t)(a * (b >> 4));      \
    b = *w23++;                          \
    s2 += (uint32_t)(a * ek_low_s4(b));  \
    s3 += (uint32_t)(a * (b >> 4));
    EK_ROLLED
    for (const int8_t *end = x + (depth & ~3); x != end;) {
        EK_MAC EK_MAC EK_MAC EK_MAC
    }
    EK_ROLLED
    for (const int8_t *end = x + (depth & 3); x != end;) {
        EK_MAC
    }
#undef EK_MAC
    sum[0] = (int32_t)s0;
    sum[1] = (int32_t)s1;
    sum[2] = (int32_t)s2;
    sum[3] = (int32_t)s3;
}
