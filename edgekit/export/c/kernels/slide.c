/* needs: outline */
/* A window of rows forgets its first `drop`; those behind, up to row `end`, move to its start. row: bytes of one. */
EK_OUTLINE static void ek_slide(int8_t *rows, int32_t row, int32_t *first, int32_t end, int32_t drop)
{
    *first += drop;
    const int8_t *from = rows + drop * row;
    int32_t left = (end - *first) * row;
#if defined(__GNUC__)
    if (drop * row % 4 == 0) { /* windows begin at whole words */
        int8_t *to = (int8_t *)__builtin_assume_aligned(rows, 4);
        from = (const int8_t *)__builtin_assume_aligned(from, 4);
        for (; left >= 16; left -= 16, from += 16, to += 16) {
            uint32_t words[4];
            __builtin_memcpy(words, from, 16);
            __builtin_memcpy(to, words, 16);
        }
        rows = to;
    }
#endif
    while (left-- > 0) {
        *rows++ = *from++;
    }
}
