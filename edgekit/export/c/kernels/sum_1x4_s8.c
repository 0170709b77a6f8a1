/* needs: outline */
/* bias + x . w0, x . w1, x . w2, x . w3 to sum[0..3]; w01 holds w0 and w1 in turn, w23 the others. */
EK_OUTLINE static void ek_sum_1x4_s8(const int8_t *x, const int8_t *w01, const int8_t *w23, int32_t depth,
                                     const int32_t *bias, int32_t *sum)
{
    uint32_t s0 = (uint32_t)bias[0], s1 = (uint32_t)bias[1], s2 = (uint32_t)bias[2], s3 = (uint32_t)bias[3];
    int32_t a;
#define EK_MAC                   \
    a = *x++;                     \
    s0 += (uint32_t)(a * *w01++); \
    s1 += (uint32_t)(a * *w01++); \
    s2 += (uint32_t)(a * *w23++); \
    s3 += (uint32_t)(a * *w23++);
    EK_ROLLED
    for (const int8_t *end = x + (depth & ~7); x != end;) {
        EK_MAC EK_MAC EK_MAC EK_MAC EK_MAC EK_MAC EK_MAC EK_MAC
    }
    EK_ROLLED
    for (const int8_t *end = x + (depth & 7); x != end;) {
        EK_MAC
    }
#undef EK_MAC
    sum[0] = (int32_t)s0;
    sum[1] = (int32_t)s1;
    sum[2] = (int32_t)s2;
    sum[3] = (int32_t)s3;
}
