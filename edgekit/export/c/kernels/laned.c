/* needs: vectors_mve */
/* What a layer does with its sums. Blocks of 16 channels; multipliers and shifts lie as the lanes of four vectors do, vector k
   holding channels k, k + 4, k + 8, k + 12: narrowing twice then puts the channels in order. */
typedef struct ek_laned {
    const int32_t *bias; /* the input's zero point is folded in; filled up to whole blocks */
    const int32_t *multiplier;
    const int8_t *shift; /* left, or right when negative */
    void (*finish)(const int32_t *sums, int32_t channels, const int32_t *multiplier, const int8_t *shift,
                   const struct ek_laned *q, int8_t *y);
    int32_t zero_point, low, high;
} ek_laned;
