/* needs: vectors_mve */
/* What a layer does with its sums. Blocks of 16 channels; multipliers and shifts lie as the lanes of four vectors do, vector k
   holding channels k, k + 4, k + 8, k + 12: narrowing twice then puts the channels in order. */
typedef struct {
    const int32_t *sums; /* rows of 64, in the channels' order */
    const int32_t *multiplier;
    const int8_t *shift; /* left, or right when negative */
    int8_t *y;
    int32_t channels, pixels, stride; /* stride: bytes from pixel to pixel of y */
    int32_t zero_point, low, high;
} ek_sums_done;

typedef struct {
    const int32_t *bias; /* the input's zero point is folded in; filled up to whole blocks */
    const int32_t *multiplier;
    const int8_t *shift;
    void (*finish)(const ek_sums_done *t);
    int32_t zero_point, low, high;
} ek_laned;
