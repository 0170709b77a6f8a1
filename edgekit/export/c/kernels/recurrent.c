/* needs: quantized */
/* A recurrent layer: batch, steps, inputs, units; `input` and `recurrent` say how each gate's product is rescaled; `final`:
   the last gate's rows of r; last: y is of the last step run only. */
typedef struct {
    const int8_t *w, *r, *final;
    const ek_quantized *input, *recurrent;
    const uint16_t *sigmoid;
    int32_t batch, steps, width, units, reverse, last;
    int32_t multiplier[3], shift[3]; /* to y's scale; within the long memory */
    int32_t table_multiplier, table_shift; /* from the long memory's scale to the table's steps */
    int32_t zero_point;
} ek_recurrent;
