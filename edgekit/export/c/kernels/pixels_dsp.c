/* needs: packed simd even smlad */
/* A tile of four pixels times all channels; an odd last channel by itself. */
EK_SMALL static void ek_pixels_dsp(const uint32_t *tile, int32_t words, const int32_t *w, const ek_packed *q, int32_t channels, int8_t *y)
{
    const int32_t pairs = channels / 2, missing = (1 - 2 * words) & 7;
    const int32_t *last = q->record + q->size * pairs;
    const ek_tile t = {tile, tile + 8 * words, q->record, last, y, channels, missing, q->zero_point, w};
    if (pairs > 0) {
        q->tile(&t);
    }
    if (channels & 1) {
        for (int32_t p = 0; p < 4; ++p) {
            uint32_t sum = (uint32_t)ek_bias_packed(last, 0, q->size);
            for (int32_t k = 0; k < 2 * words; ++k) {
                sum = ek_smlad(tile[4 * k + p], ek_even((uint32_t)w[2 * words * pairs + k]), sum);
            }
            y[p * channels + channels - 1] = ek_finish_packed((int32_t)sum, last, 0, q->size, q->zero_point);
        }
    }
}
