/* Two rows x and two channels w; sum: of row 0 with both channels, then of row 1 with both. */
typedef struct {
    const int16_t *x0, *x1;
    const int8_t *w0, *w1;
    int32_t depth; /* of packed weights in fours */
    int32_t sum[4];
} ek_tile_s16;
