/* Weights of 4 bits, two a byte, the first below, as int8. */
static void ek_wider_s4(const int8_t *w, int32_t count, int8_t *to)
{
    for (int32_t k = 0; k < count; ++k) {
        const int32_t byte = w[k / 2];
        to[k] = (int8_t)((k & 1) == 0 ? ((byte & 15) ^ 8) - 8 : byte >> 4);
    }
}
