/* a * b / 2^31, rounded, for int32 a and b that are not both INT32_MIN. */
static int32_t ek_high_mul(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}
