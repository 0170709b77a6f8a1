/* A recurrent layer: batch, steps, inputs, units. bias: 0 for none. */
typedef struct {
    const float *w, *r, *bias;
    int32_t batch, steps, width, units, reverse;
} ek_recurrent_f32;
