/* What an integer kernel does with its sums: scale by channel, add the zero point, keep within low..high. */
typedef struct {
    const int32_t *bias;       /* one a channel; the input's zero point is folded in */
    const int32_t *multiplier; /* one a channel when each is 1, one for all when each is 0 */
    const int8_t *shift;       /* as multiplier */
    int32_t each;
    int32_t zero_point, low, high;
} ek_quantized;
