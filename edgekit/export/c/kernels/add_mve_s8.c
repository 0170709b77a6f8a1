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
#if EK_ASM
    const struct {
        const int8_t *a, *b;
        int8_t *y;
        int32_t count;
    } all = {a, b, y, count};
    /* a r0, b r1, y r2; terms r3..r10; low q3, high q4 */
    __asm__ volatile(
        "mov r12, %0\n\t"
        "mov r3, %1\n\t"
        "push {r4-r11, lr}\n\t"
        "vpush {d8-d9}\n\t"
        "ldm r12, {r0, r1, r2, r12}\n\t"
        "ldm r3, {r3-r11}\n\t"
        "vdup.32 q3, r10\n\t"
        "vdup.32 q4, r11\n\t"
        "wlstp.32 lr, r12, 2f\n"
        "1:\n\t"
        "vldrb.s32 q1, [r1], #4\n\t"
        "vsub.i32 q1, q1, r4\n\t"
        "vldrb.s32 q0, [r0], #4\n\t"
        "vshl.i32 q1, q1, #20\n\t"
        "vqrdmulh.s32 q1, q1, r5\n\t"
        "vshl.i32 q0, q0, #19\n\t"
        "vshr.s32 q2, q1, #31\n\t"
        "vadd.i32 q1, q1, q2\n\t"
        "vadd.i32 q0, q0, r3\n\t"
        "vrshl.s32 q1, r6\n\t"
        "vadd.i32 q0, q0, q1\n\t"
        "vqrdmulh.s32 q0, q0, r7\n\t"
        "vshr.s32 q2, q0, #31\n\t"
        "vadd.i32 q0, q0, q2\n\t"
        "vrshl.s32 q0, r8\n\t"
        "vadd.i32 q0, q0, r9\n\t"
        "vmax.s32 q0, q0, q3\n\t"
        "vmin.s32 q0, q0, q4\n\t"
        "vstrb.32 q0, [r2], #4\n\t"
        "letp lr, 1b\n"
        "2:\n\t"
        "vpop {d8-d9}\n\t"
        "pop {r4-r11, lr}"
        :
        : "r"(&all), "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory", EK_VECTORS);
#else
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
#endif
}
