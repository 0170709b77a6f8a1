/* What an int16 kernel does with its sums where they fit 32 bits: sum * multiplier / 2^32, rounded, kept within low..high. */
typedef struct {
    const int32_t *bias;       /* one a channel */
    const int32_t *multiplier; /* one a channel when each is 1, one for all when each is 0 */
    int32_t each, low, high;
} ek_short_s16;
