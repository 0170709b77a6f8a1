/* needs: high_mul divide_pot */
/* exp(x / 2^26) * 2^31 for x <= 0, in gemmlowp's fixed point: a fourth-order series on [-1/4, 0), then a product of powers. */
static int32_t ek_exp_negative(int32_t x)
{
    static const int32_t power[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242}; /* exp(-2^k) */
    const int32_t quarter = (int32_t)1 << 24;
    const int32_t part = (int32_t)((uint32_t)x & (uint32_t)(quarter - 1)) - quarter;
    const int32_t rest = part - x;
    const int32_t a = part * 32 + ((int32_t)1 << 28);
    const int32_t a2 = ek_high_mul(a, a);
    const int32_t a3 = ek_high_mul(a2, a);
    const int32_t a4 = ek_high_mul(a2, a2);
    const int32_t tail = ek_high_mul(ek_divide_pot(a4, 2) + a3, 715827883) + a2;
    int32_t y = 1895147668 + ek_high_mul(a + ek_divide_pot(tail, 1), 1895147668);
    if (x == 0) {
        return INT32_MAX;
    }
    const int32_t *next = power;
    for (uint32_t bits = (uint32_t)rest >> 24; bits != 0u; bits >>= 1, ++next) {
        if (bits & 1u) {
            y = ek_high_mul(y, *next);
        }
    }
    return y;
}
