/* needs: spectrum fft_f32 bank */
/* Power, magnitude or complex spectrum of windowed frames, through filters where there are some. scratch: float[4 * (fft / 2)]
   for an even fft, of which two samples are one complex number; float[4 * fft] for an odd one. */
static void ek_stft_@S(const @T *x, const ek_spectrum *q, const ek_bank *bank, void *scratch, float *y)
{
    const int32_t even = q->fft % 2 == 0, n = even ? q->fft / 2 : q->fft, bins = q->fft / 2 + 1;
    for (int32_t at = 0; at < q->rows * q->frames; ++at) {
        const @T *from = x + at / q->frames * q->samples + at % q->frames * q->hop;
        float *a = (float *)scratch, *b = a + 2 * n;
        for (int32_t t = 0; t < q->fft; ++t) {
            const float v = t < q->frame ? (float)from[t] * q->window[t] : 0.0f;
            if (even) {
                a[t] = v;
            } else {
                a[2 * t] = v;
                a[2 * t + 1] = 0.0f;
            }
        }
        float *z = ek_fft_f32(a, b, n, q->roots);
        float *made = bank != 0 ? (z == a ? b : a) : y;
        for (int32_t k = 0; k < bins; ++k) {
            float real = z[2 * (k % n)], imaginary = z[2 * (k % n) + 1];
            if (even) {
                const float *w = q->turns + 2 * k, *v = z + 2 * ((n - k) % n);
                const float r = 0.5f * (imaginary + v[1]), i = 0.5f * (v[0] - real);
                real = 0.5f * (real + v[0]) + r * w[0] - i * w[1];
                imaginary = 0.5f * (imaginary - v[1]) + r * w[1] + i * w[0];
            }
            if (q->form == 2) {
                made[2 * k] = real;
                made[2 * k + 1] = imaginary;
            } else {
                made[k] = real * real + imaginary * imaginary;
                if (q->form == 1) {
                    made[k] = sqrtf(made[k]);
                }
            }
        }
        if (bank != 0) {
            ek_filter(made, bank, y);
        }
        y += bank != 0 ? bank->filters : q->form == 2 ? 2 * bins : bins;
    }
}
