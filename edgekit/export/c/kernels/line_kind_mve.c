/* needs: line_mve */
#if EK_ASM && @FAST
EK_APART static void ek_line_@S(const ek_mve_line *t)
{
    /* lines r3, r4, r5, shifts r6, weights r7, bias r8, multipliers r9, y r10, step r11, stride r12; on the stack: zero point,
       lowest, highest */
    __asm__ volatile(
        "mov r12, %0\n\t"
        "vmrs r3, p0\n\t"
        "push {r3-r11, lr}\n\t"
        "vpush {d8-d15}\n\t"
        "ldrd r0, r1, [r12, #40]\n\t"
        "ldrd r2, lr, [r12, #48]\n\t"
        "push {r0, r1, r2, lr}\n\t"
        "ldr r0, [r12, #56]\n\t"
        "vctp.8 r0\n\t"
        "ldm r12, {r3-r12}\n\t"
        "dls lr, lr\n"
        "1:\n\t"
        "vldrw.u32 q0, [r8]\n\t"
        "vldrw.u32 q1, [r8, #16]\n\t"
        "vldrw.u32 q2, [r8, #32]\n\t"
        "vldrw.u32 q3, [r8, #48]\n\t"
        EK_TAP("r3", "0", "-64") EK_FIRST EK_SECOND("r3", "16", "-48") EK_WIDEN
        EK_TAP("r3", "32", "-32") EK_FIRST EK_SECOND("r4", "0", "-16") EK_WIDEN
        EK_TAP("r4", "16", "0") EK_FIRST EK_SECOND("r4", "32", "16") EK_WIDEN
        EK_TAP("r5", "0", "32") EK_FIRST EK_SECOND("r5", "16", "48") EK_WIDEN
        EK_TAP("r5", "32", "64") EK_FIRST EK_WIDEN
        "vldrw.u32 q4, [r9]\n\tvldrb.s32 q5, [r6]\n\tvqrdmulh.s32 q0, q0, q4\n\t"
        "vldrw.u32 q6, [r9, #16]\n\tvldrb.s32 q7, [r6, #4]\n\tvqrdmulh.s32 q1, q1, q6\n\t"
        @ZERO
        "vrshl.s32 q0, q0, q5\n\t"
        "vrshl.s32 q1, q1, q7\n\t"
        "vldrw.u32 q4, [r9, #32]\n\tvldrb.s32 q5, [r6, #8]\n\tvqrdmulh.s32 q2, q2, q4\n\t"
        "vldrw.u32 q6, [r9, #48]\n\tvldrb.s32 q7, [r6, #12]\n\tvqrdmulh.s32 q3, q3, q6\n\t"
        @TWO
        "vrshl.s32 q2, q2, q5\n\t"
        "vrshl.s32 q3, q3, q7\n\t"
        "ldrd r0, r1, [sp]\n\t"
        "ldr r2, [sp, #8]\n\t"
        "vqmovnb.s32 q0, q0\n\t"
        "vqmovnb.s32 q1, q1\n\t"
        "vqmovnt.s32 q0, q2\n\t"
        "vqmovnt.s32 q1, q3\n\t"
        "vqadd.s16 q0, q0, r0\n\t"
        "vqadd.s16 q1, q1, r0\n\t"
        "vdup.8 q2, r1\n\t"
        "vqmovnb.s16 q0, q0\n\t"
        "vqmovnt.s16 q0, q1\n\t"
        "vdup.8 q3, r2\n\t"
        "vmax.s8 q0, q0, q2\n\t"
        "vmin.s8 q0, q0, q3\n\t"
        "vpst\n\t"
        "vstrbt.8 q0, [r10]\n\t"
        "add r3, r3, r11\n\t"
        "add r4, r4, r11\n\t"
        "add r5, r5, r11\n\t"
        "add r10, r10, r12\n\t"
        "le lr, 1b\n\t"
        "add sp, sp, #16\n\t"
        "vpop {d8-d15}\n\t"
        "pop {r3-r11, lr}\n\t"
        "vmsr p0, r3"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory", EK_VECTORS);
}
#endif
