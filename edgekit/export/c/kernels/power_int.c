/* a to the power b, modulo 2^32; to a negative power 0, but for 1 and -1. */
static int32_t ek_power_int(int32_t a, int32_t b)
{
    if (b < 0) {
        return a == 1 ? 1 : a == -1 ? ((b & 1) ? -1 : 1) : 0;
    }
    uint32_t result = 1, base = (uint32_t)a;
    for (uint32_t left = (uint32_t)b; left != 0; left >>= 1) {
        result = (left & 1) ? result * base : result;
        base *= base;
    }
    return (int32_t)result;
}
