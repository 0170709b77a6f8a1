/* sums[i] += x[count] . w[i * apart .. + count] for i below `many`, at most 4. */
static void ek_dots_f32(const float *x, const float *w, int32_t apart, int32_t count, int32_t many, float *sums)
{
    if (many == 4) {
        const float *w1 = w + apart, *w2 = w1 + apart, *w3 = w2 + apart;
        float a = sums[0], b = sums[1], c = sums[2], d = sums[3];
        for (int32_t k = 0; k < count; ++k) {
            const float v = x[k];
            a += v * w[k];
            b += v * w1[k];
            c += v * w2[k];
            d += v * w3[k];
        }
        sums[0] = a;
        sums[1] = b;
        sums[2] = c;
        sums[3] = d;
        return;
    }
    for (int32_t i = 0; i < many; ++i) {
        float sum = sums[i];
        for (int32_t k = 0; k < count; ++k) {
            sum += x[k] * w[i * apart + k];
        }
        sums[i] = sum;
    }
}
