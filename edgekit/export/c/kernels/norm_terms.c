/* How a normalisation ends: (z * gain + offset * 2^(shift - 16)) >> shift for z with 18 fraction bits. */
typedef struct {
    const int32_t *gain, *offset; /* one a channel when each is 1, one for all when each is 0 */
    int32_t each, shift;
    int32_t centred; /* 1: the mean is taken away, 0: it is the zero point */
    int32_t zero;    /* the input's zero point */
    int64_t floor;   /* epsilon */
} ek_norm_terms;
