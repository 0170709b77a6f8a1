/* A recurrent layer: batch, steps, inputs, units. last: y is of the last step run only. bias: 0 for none. */
typedef struct {
    const float *w, *r, *bias;
    int32_t batch, steps, width, units, reverse, last;
} ek_recurrent_f32;
