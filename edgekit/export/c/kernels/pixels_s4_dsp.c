/* needs: packed simd smlad offsets_s4_dsp */
/* As ek_pixels_dsp with weights of 4 bits: a word has those of two channels and four inputs. Eight words before the tile are
   free. */
EK_SMALL static void ek_pixels_s4_dsp(uint32_t *tile, int32_t words, const int32_t *w, const ek_packed *q, int32_t channels,
                                      int8_t *y)
{
    const int32_t pairs = channels / 2, missing = -words & 3;
    const int32_t *last = q->record + q->size * pairs;
    const ek_tile t = {tile - 8, tile + 8 * words, q->record, last, y, channels, missing, q->zero_point, w};
    ek_offsets_s4_dsp(tile, words);
    if (pairs > 0) {
        q->tile(&t);
    }
    if (channels & 1) {
        for (int32_t p = 0; p < 4; ++p) {
            uint32_t sum = (uint32_t)ek_bias_packed(last, 0, q->size) + tile[2 * ((p + 3) & 3) - 8];
            for (int32_t k = 0; k < words; ++k) {
                const uint32_t four = (uint32_t)w[words * pairs + k];
                sum = ek_smlad(tile[8 * k + p], four & 0x000F000Fu, sum);
                sum = ek_smlad(tile[8 * k + 4 + p], four >> 4 & 0x000F000Fu, sum);
            }
            y[p * channels + channels - 1] = ek_finish_packed((int32_t)sum, last, 0, q->size, q->zero_point);
        }
    }
}
