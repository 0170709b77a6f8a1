/* needs: laned narrow_@S */
/* The outputs of some pixels' sums. */
EK_APART static void ek_finish_@S(const ek_sums_done *t)
{
#if EK_ASM && @FAST
    /* sums r0, multipliers r1, shifts r2, y r3, channels r4, pixels r5, stride r6, zero point r7, low q6, high q7 */
    __asm__ volatile(
        "mov r12, %0\n\t"
        "vmrs r3, p0\n\t"
        "push {r3-r11, lr}\n\t"
        "vpush {d8-d15}\n\t"
        "ldm r12, {r0-r9}\n\t"
        "mov r11, r2\n\t"
        "vdup.8 q6, r8\n\t"
        "vdup.8 q7, r9\n"
        "1:\n\t"
        "mov r8, r0\n\tmov r9, r4\n\tmov r10, r1\n\tmov r2, r11\n\tmov r12, r3\n\t"
        "add lr, r4, #15\n\t"
        "lsr lr, lr, #4\n\t"
        "dls lr, lr\n"
        "2:\n\t"
        "vld40.32 {q0, q1, q2, q3}, [r8]\n\t"
        "vld41.32 {q0, q1, q2, q3}, [r8]\n\t"
        "vld42.32 {q0, q1, q2, q3}, [r8]\n\t"
        "vld43.32 {q0, q1, q2, q3}, [r8]!\n\t"
        ".irp a, q0, q1, q2, q3\n\t"
        "vldrw.u32 q4, [r10], #16\n\t"
        "vqrdmulh.s32 \\a, \\a, q4\n\t"
        "vldrb.s32 q5, [r2], #4\n\t"
        @HALVES
        "vrshl.s32 \\a, \\a, q5\n\t"
        ".endr\n\t"
        "vqmovnb.s32 q0, q0\n\t"
        "vqmovnb.s32 q1, q1\n\t"
        "vqmovnt.s32 q0, q2\n\t"
        "vqmovnt.s32 q1, q3\n\t"
        "vqadd.s16 q0, q0, r7\n\t"
        "vqadd.s16 q1, q1, r7\n\t"
        "vqmovnb.s16 q0, q0\n\t"
        "vqmovnt.s16 q0, q1\n\t"
        "vmax.s8 q0, q0, q6\n\t"
        "vmin.s8 q0, q0, q7\n\t"
        "vctp.8 r9\n\t"
        "vpst\n\t"
        "vstrbt.8 q0, [r12], #16\n\t"
        "sub r9, r9, #16\n\t"
        "le lr, 2b\n\t"
        "add r3, r3, r6\n\t"
        "add r0, r0, #256\n\t"
        "subs r5, r5, #1\n\t"
        "bne 1b\n\t"
        "vpop {d8-d15}\n\t"
        "pop {r3-r11, lr}\n\t"
        "vmsr p0, r3"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory", EK_VECTORS);
#else
    const ek_laned q = {0, 0, 0, 0, t->zero_point, t->low, t->high};
    for (int32_t i = 0; i < t->pixels; ++i) {
        for (int32_t c = 0; c < t->channels; c += 16) {
            const ek_v4x4 s = ek_vld4q_s32(t->sums + 64 * i + c);
            const ek_v16 v = ek_narrow_@S(s.val[0], s.val[1], s.val[2], s.val[3], t->multiplier + c, t->shift + c, &q);
            ek_vstrbq_p_s8(t->y + i * t->stride + c, v, ek_vctp8q((uint32_t)(t->channels - c)));
        }
    }
#endif
}
