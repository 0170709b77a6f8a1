/* needs: laned */
/* Sixteen sums as int8. m, r: multipliers and shifts of their channels. */
EK_SOME ek_v4 ek_rescale_@S(ek_v4 x, const int32_t *m, const int8_t *r)
{
    const ek_v4 shift = ek_vldrbq_s32(r);
    @RESCALE
}

EK_SOME ek_v16 ek_narrow_@S(ek_v4 a, ek_v4 b, ek_v4 c, ek_v4 d, const int32_t *m, const int8_t *r, const ek_laned *q)
{
    ek_v8 even = ek_vqmovnbq_s32(ek_vuninitializedq_s16(), ek_rescale_@S(a, m, r));
    ek_v8 odd = ek_vqmovnbq_s32(ek_vuninitializedq_s16(), ek_rescale_@S(b, m + 4, r + 4));
    even = ek_vqmovntq_s32(even, ek_rescale_@S(c, m + 8, r + 8));
    odd = ek_vqmovntq_s32(odd, ek_rescale_@S(d, m + 12, r + 12));
    ek_v16 y = ek_vqmovnbq_s16(ek_vuninitializedq_s8(), ek_vqaddq_n_s16(even, (int16_t)q->zero_point));
    y = ek_vqmovntq_s16(y, ek_vqaddq_n_s16(odd, (int16_t)q->zero_point));
    return ek_vminq_s8(ek_vmaxq_s8(y, ek_vdupq_n_s8((int8_t)q->low)), ek_vdupq_n_s8((int8_t)q->high));
}
