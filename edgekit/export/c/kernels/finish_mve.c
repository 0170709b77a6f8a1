/* needs: laned narrow_@S */
/* The outputs of one pixel's sums, which lie in the channels' order. */
EK_APART static void ek_finish_@S(const int32_t *sums, int32_t channels, const int32_t *m, const int8_t *r, const ek_laned *q, int8_t *y)
{
    for (int32_t c = 0; c < channels; c += 16) {
        const ek_v4x4 s = ek_vld4q_s32(sums + c);
        const ek_v16 v = ek_narrow_@S(s.val[0], s.val[1], s.val[2], s.val[3], m + c, r + c, q);
        ek_vstrbq_p_s8(y + c, v, ek_vctp8q((uint32_t)(channels - c)));
    }
}
