typedef struct {
    int32_t rows, samples, frames, hop; /* `frames` from each row of `samples` */
    int32_t frame, fft, form;           /* form: 0 power, 1 magnitude, 2 complex */
    const float *window, *roots;        /* roots: of the transform, which is half as long for an even number of samples */
    const float *turns;                 /* and what then tells its two halves apart */
} ek_spectrum;
