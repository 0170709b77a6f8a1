/* Discrete Fourier transform of n complex numbers by Stockham's method, factor by factor (4, 2, then odd ones), from a by way
   of b; what is returned is the one that holds the result. roots[k] = exp(-2 pi i k / n). */
static float *ek_fft_f32(float *a, float *b, int32_t n, const float *roots)
{
    int32_t stride = 1;
    for (int32_t left = n; left > 1;) {
        int32_t p = left % 4 == 0 ? 4 : 2;
        while (left % p != 0) {
            ++p;
        }
        left /= p;
        const int32_t step = 2 * stride * left;
        for (int32_t k = 0; k < left; ++k) {
            const float *w1 = roots + 2 * stride * k, *w2 = roots + 4 * stride * k, *w3 = roots + 6 * stride * k;
            for (int32_t q = 0; q < stride; ++q) {
                const float *x = a + 2 * (q + stride * k);
                float *y = b + 2 * (q + stride * p * k);
                if (p == 4) {
                    const float *x1 = x + step, *x2 = x1 + step, *x3 = x2 + step;
                    const float r0 = x[0] + x2[0], i0 = x[1] + x2[1], r1 = x[0] - x2[0], i1 = x[1] - x2[1];
                    const float r2 = x1[0] + x3[0], i2 = x1[1] + x3[1], r3 = x1[1] - x3[1], i3 = x3[0] - x1[0];
                    y[0] = r0 + r2;
                    y[1] = i0 + i2;
                    y += 2 * stride;
                    y[0] = (r1 + r3) * w1[0] - (i1 + i3) * w1[1];
                    y[1] = (r1 + r3) * w1[1] + (i1 + i3) * w1[0];
                    y += 2 * stride;
                    y[0] = (r0 - r2) * w2[0] - (i0 - i2) * w2[1];
                    y[1] = (r0 - r2) * w2[1] + (i0 - i2) * w2[0];
                    y += 2 * stride;
                    y[0] = (r1 - r3) * w3[0] - (i1 - i3) * w3[1];
                    y[1] = (r1 - r3) * w3[1] + (i1 - i3) * w3[0];
                    continue;
                }
                for (int32_t j = 0; j < p; ++j) {
                    float real = 0.0f, imaginary = 0.0f;
                    for (int32_t r = 0; r < p; ++r) {
                        const float *v = x + r * step, *w = roots + 2 * (r * j % p * (n / p));
                        real += v[0] * w[0] - v[1] * w[1];
                        imaginary += v[0] * w[1] + v[1] * w[0];
                    }
                    const float *w = roots + 2 * stride * k * j;
                    y[0] = real * w[0] - imaginary * w[1];
                    y[1] = real * w[1] + imaginary * w[0];
                    y += 2 * stride;
                }
            }
        }
        stride *= p;
        float *other = a;
        a = b;
        b = other;
    }
    return a;
}
