/* Zero bits above the highest set bit of x; 32 for 0. */
static int32_t ek_leading_zeros(uint32_t x)
{
    int32_t count = 32;
    for (; x != 0u; x >>= 1) {
        --count;
    }
    return count;
}
