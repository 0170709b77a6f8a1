/* needs: window */
/* Of a window sliding over a whole image: `rows` output rows from `top`, where input rows first..end are there alone. */
static void ek_band(const ek_window *whole, int32_t first, int32_t end, int32_t top, int32_t rows, ek_window *part)
{
    *part = *whole;
    part->in_h = end - first;
    part->out_h = rows;
    part->pad_top += first - top * whole->stride_h;
}
