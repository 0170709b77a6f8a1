typedef struct {
    int32_t depth, filters;
    const int32_t *spans; /* first and number of the inputs that each filter weighs */
    const float *weights, *bias;
} ek_bank;
static void ek_filter(const float *x, const ek_bank *q, float *y)
{
    const float *w = q->weights;
    for (int32_t i = 0; i < q->filters; ++i) {
        const float *from = x + q->spans[2 * i];
        const int32_t count = q->spans[2 * i + 1];
        float sum = q->bias != 0 ? q->bias[i] : 0.0f;
        for (int32_t k = 0; k < count; ++k) {
            sum += from[k] * w[k];
        }
        w += count;
        y[i] = sum;
    }
}
