/* needs: window */
/* The taps of the window at (top, left) that lie inside the image: rows taps[0] to taps[1], columns taps[2] to taps[3]; no row where there is no column. */
static void ek_taps(const ek_window *s, int32_t top, int32_t left, int32_t *taps)
{
    const int32_t low = s->in_h - top, right = s->in_w - left;
    taps[0] = top < 0 ? (s->dilation_h - 1 - top) / s->dilation_h : 0;
    taps[1] = low > (s->kernel_h - 1) * s->dilation_h ? s->kernel_h : (low + s->dilation_h - 1) / s->dilation_h;
    taps[2] = left < 0 ? (s->dilation_w - 1 - left) / s->dilation_w : 0;
    taps[3] = right > (s->kernel_w - 1) * s->dilation_w ? s->kernel_w : (right + s->dilation_w - 1) / s->dilation_w;
    if (taps[2] >= taps[3]) {
        taps[1] = taps[0];
    }
}
