/* needs: simd scale_right clamp_s8 */
/* Four pixels times pairs of channels. x: [depth / 2][4 pixels], two int16 each, of bytes 0 and 2, then 1 and 3, of four; w:
   the same order, an int16 for two channels, 256 * second + first: the second's products are those of both less the first's.
   Each pair has a record: two words of bias * 256 + right shift, two multipliers (twice, less 2^32: a product with them plus
   the factor is one with twice the multiplier).
   "wide", for sums of 2^23 and more: w has the two channels' bytes, a record has two biases and its shifts in two words more. */
typedef struct {
    const uint32_t *x, *x_end;
    const int32_t *record, *record_end;
    int8_t *y;
    int32_t stride; /* bytes from pixel to pixel of y */
    int32_t missing; /* of the words of w: those that the first round of eight leaves out, the very first word apart */
    int32_t zero_point;
    const int32_t *w;
} ek_tile;

/* One pixel times two pairs of channels: sum is their biases, then their sums. */
typedef struct {
    const int8_t *x;
    const int32_t *w01, *w23;
    int32_t words;
    int32_t sum[4];
} ek_sums;

typedef struct {
    const int32_t *record;
    void (*tile)(const ek_tile *t);
    void (*sums)(ek_sums *t);
    int32_t size; /* words of a record: 6 when wide, else 4 */
    int32_t zero_point, low, high;
} ek_packed;

EK_EITHER static int32_t ek_bias_packed(const int32_t *record, int32_t second, int32_t size)
{
    return record[second] >> 4 * (6 - size);
}

/* The output of a sum by its record; `second`: the pair's second channel. */
EK_EITHER static int8_t ek_finish_packed(int32_t sum, const int32_t *record, int32_t second, int32_t size, int32_t zero_point)
{
    const int32_t right = record[second + 2 * size - 8] & 255;
    return ek_clamp_s8(ek_scale_right(sum, (int32_t)((uint32_t)record[2 + second] >> 1), right - 1) + zero_point, -128, 127);
}
