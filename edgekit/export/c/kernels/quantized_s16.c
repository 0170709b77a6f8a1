/* What an int16 kernel does with its sums of 64 bits: (sum * multiplier + half) >> shift by channel, kept within low..high. */
typedef struct {
    const int64_t *bias;       /* one a channel */
    const int16_t *multiplier; /* one a channel when each is 1, one for all when each is 0 */
    const int8_t *shift;       /* as multiplier */
    int32_t each, run;         /* run: at least so many products fit 32 bits */
    int32_t low, high;
} ek_quantized_s16;
