/* needs: laned */
/* One line of a 3x3 depthwise output, 16 channels. */
#if EK_ASM
typedef struct {
    const int8_t *x[3]; /* the lines in the ring, 16 bytes a column */
    const int8_t *shift;
    const int8_t *w; /* of the middle tap */
    const int32_t *bias, *multiplier;
    int8_t *y;
    int32_t step, stride; /* bytes from output to output in x and in y */
    int32_t zero_point, low, high;
    int32_t count, channels;
} ek_mve_line;

#define EK_TAP(x, place, w) "vldrb.8 q4, [" x ", #" place "]\n\tvldrb.8 q5, [r7, #" w "]\n\t"
#define EK_FIRST "vmullb.s8 q6, q4, q5\n\tvmullt.s8 q7, q4, q5\n\t"
/* The second tap's products, added to the first's; q4 is loaded twice for want of another register. */
#define EK_SECOND(x, place, w) \
    EK_TAP(x, place, w) \
    "vmullb.s8 q4, q4, q5\n\tvadd.i16 q6, q6, q4\n\tvldrb.8 q4, [" x ", #" place "]\n\tvmullt.s8 q4, q4, q5\n\tvadd.i16 q7, q7, q4\n\t"
#define EK_WIDEN \
    "vmovlb.s16 q4, q6\n\tvadd.i32 q0, q0, q4\n\tvmovlt.s16 q5, q6\n\tvadd.i32 q2, q2, q5\n\t" \
    "vmovlb.s16 q4, q7\n\tvadd.i32 q1, q1, q4\n\tvmovlt.s16 q5, q7\n\tvadd.i32 q3, q3, q5\n\t"
#endif
