/* x * 2^exponent, kept within int32. */
static int32_t ek_shift_left_saturating(int32_t x, int32_t exponent)
{
    const int32_t most = INT32_MAX >> exponent;
    return x > most ? INT32_MAX : x < -most - 1 ? INT32_MIN : (int32_t)((uint32_t)x << exponent);
}
