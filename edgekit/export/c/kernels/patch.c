/* needs: window */
/* Copies the window at (top, left) of channels first..first+depth of one image; places outside it are `zero`. */
static void ek_patch_@S(const @T *x, const ek_window *s, int32_t top, int32_t left, int32_t first, int32_t depth,
                        @T zero, @T *patch)
{
    const int32_t whole = depth == s->in_c && s->dilation_w == 1; /* a row of the window is one run of bytes */
    for (int32_t i = 0; i < s->kernel_h; ++i) {
        const int32_t row = top + i * s->dilation_h;
        const int32_t inside = row >= 0 && row < s->in_h;
        if (inside && whole && left >= 0 && left + s->kernel_w <= s->in_w) {
            const @T *from = x + (row * s->in_w + left) * s->in_c;
            const int32_t run = s->kernel_w * depth;
            for (int32_t c = 0; c < run; ++c) {
                patch[c] = from[c];
            }
            patch += run;
            continue;
        }
        for (int32_t j = 0; j < s->kernel_w; ++j) {
            const int32_t column = left + j * s->dilation_w;
            if (inside && column >= 0 && column < s->in_w) {
                const @T *from = x + (row * s->in_w + column) * s->in_c + first;
                for (int32_t c = 0; c < depth; ++c) {
                    patch[c] = from[c];
                }
            } else {
                for (int32_t c = 0; c < depth; ++c) {
                    patch[c] = zero;
                }
            }
            patch += depth;
        }
    }
}
