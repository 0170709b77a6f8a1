/* needs: simd */
/* One line of an image, `count` values `step` apart, as two int16 a word, a word every 12 bytes; `zero` before and behind it.
   x is NULL for a line outside the image. */
static void ek_plane_dsp(const int8_t *x, int32_t step, int32_t count, int32_t pad, int32_t zero, int32_t pairs, uint32_t *to)
{
    const uint32_t outside = (uint32_t)(uint16_t)zero;
    int32_t column = -pad;
    if (x == 0) {
        column = count;
    }
    for (const uint32_t *end = to + 3 * pairs; to != end; column += 2) {
        if (column >= 0 && column + 1 < count) {
            uint32_t whole = (uint32_t)(count - column) / 2, room = (uint32_t)(end - to) / 3;
            whole = whole < room ? whole : room;
            column += (int32_t)(2 * whole) - 2;
            for (; whole; --whole) {
                const int32_t a = x[0], b = x[step];
                *to = (uint32_t)(uint16_t)a | (uint32_t)b << 16;
                to += 3;
                x += 2 * step;
            }
            continue;
        }
        uint32_t word = outside | outside << 16;
        if (column >= 0 && column < count) {
            word = (word & 0xFFFF0000u) | (uint16_t)*x;
            x += step;
        } else if (column + 1 >= 0 && column + 1 < count) {
            word = outside | (uint32_t)(uint16_t)*x << 16;
            x += step;
        }
        *to = word;
        to += 3;
    }
}
