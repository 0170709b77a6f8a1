/* needs: quantized finish_s8 */
/* y[o] = x[depth] . w[o][depth] for every channel o. */
static void ek_dot_s8(const int8_t *x, int32_t depth, const int8_t *w, int32_t channels, const ek_quantized *q, int8_t *y)
{
    for (int32_t o = 0; o < channels; ++o) {
        uint32_t sum = (uint32_t)q->bias[o];
        int32_t k = 0;
        for (; k + 4 <= depth; k += 4) {
            sum += (uint32_t)(x[k] * w[k]);
            sum += (uint32_t)(x[k + 1] * w[k + 1]);
            sum += (uint32_t)(x[k + 2] * w[k + 2]);
            sum += (uint32_t)(x[k + 3] * w[k + 3]);
        }
        for (; k < depth; ++k) {
            sum += (uint32_t)(x[k] * w[k]);
        }
        w += depth;
        y[o] = ek_finish_s8(sum, q, o);
    }
}
