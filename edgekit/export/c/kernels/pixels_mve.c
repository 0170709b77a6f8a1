/* needs: laned tile_mve */
/* One to three pixels, the first at x, `step` bytes apart, times all channels. sums: three rows of 64. */
static void ek_pixels_mve(const int8_t *x, int32_t step, int32_t count, int32_t depth, const int8_t *w, const ek_laned *q,
                          int32_t channels, int32_t *sums, int8_t *y)
{
    const int32_t back = (depth + 15) / 16 * 16;
    ek_sums_done done = {sums, 0, 0, y, 0, count, channels, q->zero_point, q->low, q->high};
    ek_mve_tile t;
    t.x[0] = x;
    t.x[1] = count > 1 ? x + step : x;
    t.x[2] = count > 2 ? x + 2 * step : t.x[1];
    t.back = back;
    t.ahead = 2 * depth - back;
    t.depth = depth;
    for (int32_t first = 0; first < channels; first += 64) {
        const int32_t more = channels - first < 64 ? channels - first : 64, pairs = more / 2 * 2;
        t.w[0] = w + first * depth;
        t.w[1] = t.w[0] + depth;
        t.bias = q->bias + first;
        t.sums = sums;
        t.end = sums + pairs;
        if (pairs > 0) {
            ek_tile_mve(&t);
        }
        if (pairs < more) { /* an odd last channel, beside itself */
            t.w[0] = t.w[1] = w + (first + pairs) * depth;
            t.bias = q->bias + first + pairs;
            t.sums = sums + pairs;
            t.end = t.sums + 1;
            ek_tile_mve(&t);
        }
        done.multiplier = q->multiplier + first;
        done.shift = q->shift + first;
        done.y = y + first;
        done.channels = more;
        q->finish(&done);
    }
}
