/* Weights of 4 bits, two a byte, the first below, as int8. */
static void ek_wider_s4(const int8_t *w, int32_t count, int8_t *to)
{
    for (const int8_t *end = to + (count & ~1); to != end; ++w) {
        *to++ = (int8_t)(((*w & 15) ^ 8) - 8);
        *to++ = (int8_t)(*w >> 4);
    }
    if (count & 1) {
        *to = (int8_t)(((*w & 15) ^ 8) - 8);
    }
}
