/* needs: window */
/* The part of the window of output pixel p that lies inside the image: rows bounds[0]..bounds[1], columns bounds[2]..bounds[3]. */
static void ek_pool_bounds(const ek_window *s, int32_t p, int32_t *bounds)
{
    const int32_t top = p / s->out_w * s->stride_h - s->pad_top;
    const int32_t left = p % s->out_w * s->stride_w - s->pad_left;
    bounds[0] = top < 0 ? 0 : top;
    bounds[1] = top + s->kernel_h > s->in_h ? s->in_h : top + s->kernel_h;
    bounds[2] = left < 0 ? 0 : left;
    bounds[3] = left + s->kernel_w > s->in_w ? s->in_w : left + s->kernel_w;
}
