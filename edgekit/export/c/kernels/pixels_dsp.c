/* needs: packed simd even smlad */
/* A tile of four pixels times all channels; an odd last channel by itself. */
EK_SMALL static void ek_pixels_dsp(const uint32_t *tile, int32_t words, const int32_t *w, const ek_packed *q, int32_t channels, int8_t *y)
{
    const int32_t pairs = channels / 2;
    const ek_tile t = {tile, tile + 8 * words, q->record, q->record + 5 * pairs, y, channels, EK_TILE_ENTRY(words), q->zero_point, w};
    if (pairs > 0) {
        q->tile(&t);
    }
    if (channels & 1) {
        for (int32_t p = 0; p < 4; ++p) {
            uint32_t sum = (uint32_t)t.record_end[0];
            for (int32_t k = 0; k < 2 * words; ++k) {
                sum = ek_smlad(tile[4 * k + p], ek_even((uint32_t)w[2 * words * pairs + k]), sum);
            }
            y[p * channels + channels - 1] = ek_finish_packed(sum, t.record_end, 0, q->zero_point);
        }
    }
}
