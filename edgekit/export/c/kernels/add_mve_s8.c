/* needs: vectors_mve */
typedef struct {
    int32_t a_zero; /* times -2^19 */
    int32_t b_zero, b_multiplier, b_shift;
    int32_t multiplier, shift, zero_point, low, high;
} ek_add_laned;

/* y = a + b, where a's scale is the larger: it is halved, b is brought to the same. Both shifts are to the right.
   All of the same shape; y may be a or b. */
EK_APART static void ek_add_mve_s8(const int8_t *a, const int8_t *b, int32_t count, const ek_add_laned *t, int8_t *y)
{
    const ek_v4 b_shift = ek_vdupq_n_s32(t->b_shift), shift = ek_vdupq_n_s32(t->shift);
    for (int32_t i = 0; i < count; i += 4) {
        const ek_pred p = ek_vctp32q((uint32_t)(count - i));
        ek_v4 u = ek_vshlq_n_s32(ek_vldrbq_z_s32(a + i, p), 19);
        ek_v4 v = ek_vshlq_n_s32(ek_vsubq_n_s32(ek_vldrbq_z_s32(b + i, p), t->b_zero), 20);
        v = ek_vqrdmulhq_n_s32(v, t->b_multiplier);
        v = ek_vrshlq_s32(ek_vaddq_s32(v, ek_vshrq_n_s32(v, 31)), b_shift);
        u = ek_vqrdmulhq_n_s32(ek_vaddq_s32(ek_vaddq_n_s32(u, t->a_zero), v), t->multiplier);
        u = ek_vaddq_n_s32(ek_vrshlq_s32(ek_vaddq_s32(u, ek_vshrq_n_s32(u, 31)), shift), t->zero_point);
        u = ek_vminq_s32(ek_vmaxq_s32(u, ek_vdupq_n_s32(t->low)), ek_vdupq_n_s32(t->high));
        ek_vstrbq_p_s32(y + i, u, p);
    }
}
