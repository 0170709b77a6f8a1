/* The table of sigmoid(i / 24) at size / 2^bits with `bits` more bits after the point; `most` past its end. */
static int32_t ek_interpolated(const uint16_t *table, int32_t size, int32_t bits, int32_t most)
{
    const int32_t at = size >> bits;
    if (at >= 255) {
        return most;
    }
    return (int32_t)table[at] * (1 << bits) + (size & ((1 << bits) - 1)) * ((int32_t)table[at + 1] - (int32_t)table[at]);
}
