/* needs: vectors_mve */
/* Sums of one row times fours of channels. */
typedef struct {
    const int8_t *x, *w[4]; /* the rows of the first four's weights; the next fours' follow them */
    const int32_t *bias;
    int32_t *sums;
    int32_t back, ahead; /* as in a tile */
    int32_t depth;
    const int32_t *end; /* of sums */
} ek_mve_row;

EK_APART static void ek_row_mve(const ek_mve_row *t)
{
#if EK_ASM
    __asm__ volatile(
        "push {r4-r11, lr}\n\t"
        "mov r12, %0\n\t"
        "ldm r12!, {r1, r3, r5, r7, r9, r11}\n\t"
        "ldm r12!, {r0, r2, r4, r6}\n\t"
        "ldr r12, [r12]\n\t"
        "push {r2, r4}\n\t"
        "mov r8, r0\n\t"
        "mov r10, r6\n"
        "1:\n\t"
        "ldrd r4, r6, [r11, #8]\n\t"
        "ldrd r0, r2, [r11], #16\n\t"
        "dlstp.8 lr, r10\n"
        "2:\n\t"
        "vldrb.8 q0, [r1], #16\n\t"
        "vldrb.8 q1, [r3], #16\n\t"
        "vmladava.s8 r0, q0, q1\n\t"
        "vldrb.8 q2, [r5], #16\n\t"
        "vmladava.s8 r2, q0, q2\n\t"
        "vldrb.8 q3, [r7], #16\n\t"
        "vmladava.s8 r4, q0, q3\n\t"
        "vldrb.8 q1, [r9], #16\n\t"
        "vmladava.s8 r6, q0, q1\n\t"
        "letp lr, 2b\n\t"
        "strd r4, r6, [r8, #8]\n\t"
        "strd r0, r2, [r8], #16\n\t"
        "ldrd r0, r2, [sp]\n\t"
        "subs r1, r1, r0\n\t"
        "adds r3, r3, r2\n\t"
        "adds r5, r5, r2\n\t"
        "adds r7, r7, r2\n\t"
        "add r9, r9, r2\n\t"
        "cmp r8, r12\n\t"
        "blo 1b\n\t"
        "add sp, sp, #8\n\t"
        "pop {r4-r11, lr}"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory", EK_VECTORS);
#else
    const int8_t *w[4] = {t->w[0], t->w[1], t->w[2], t->w[3]};
    const int32_t *bias = t->bias;
    for (int32_t *to = t->sums; to < t->end; to += 4, bias += 4) {
        for (int32_t c = 0; c < 4; ++c) {
            uint32_t sum = (uint32_t)bias[c];
            for (int32_t k = 0; k < t->depth; ++k) {
                sum += (uint32_t)(t->x[k] * w[c][k]);
            }
            to[c] = (int32_t)sum;
            w[c] += 4 * t->depth;
        }
    }
#endif
}
