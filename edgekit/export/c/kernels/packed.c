/* needs: simd scale_right clamp_s8 */
/* Four pixels times pairs of channels. Each pair has a record: two biases, two multipliers (twice, less 2^32: a
   product with them plus the factor is one with twice the multiplier), two shifts in the low bytes of a word. x: [depth / 2][4 pixels], two int16 each, of bytes 0 and 2, then 1 and 3, of four; w: the same order, of two channels
   in turn, as bytes. */
/* Six words of each pixel a round, 104 bytes of code each; the first round may be shorter. With what stands around it, the
   loop stays within the 1 KiB of instructions that small flash caches hold. */
#define EK_TILE_ENTRY(words) ((6 - (words) % 6) % 6 * 104 + 1)
typedef struct {
    const uint32_t *x, *x_end;
    const int32_t *record, *record_end;
    int8_t *y;
    int32_t stride; /* bytes from pixel to pixel of y */
    int32_t entry;  /* into the unrolled loop: EK_TILE_ENTRY(depth / 4) */
    int32_t zero_point;
    const int32_t *w;
} ek_tile;

typedef struct {
    const int32_t *record;
    void (*tile)(const ek_tile *t);
    int32_t zero_point, low, high;
} ek_packed;

/* The output of a sum, by its record; `second`: the pair's second channel. */
EK_EITHER static int8_t ek_finish_packed(uint32_t sum, const int32_t *record, int32_t second, int32_t zero_point)
{
    const int32_t right = record[4] >> (8 * second) & 255;
    return ek_clamp_s8(ek_scale_right((int32_t)sum, (int32_t)((uint32_t)record[2 + second] >> 1), right - 1) + zero_point, -128, 127);
}
