/* needs: vectors_mve */
/* Sums of three pixels times pairs of channels, 16 products an instruction. Each pair's sums go to sums, sums + 64 and sums + 128. */
typedef struct {
    const int8_t *x[3], *w[2]; /* the rows of the first pair's weights; the next pairs' follow them */
    int32_t *sums;
    int32_t back, ahead; /* what brings the pointers to x back after a pair, and those to w to the next */
    const int32_t *bias;
    int32_t depth;
    const int32_t *end; /* of the first pixel's sums */
} ek_mve_tile;

EK_APART static void ek_tile_mve(const ek_mve_tile *t)
{
#if EK_ASM
    __asm__ volatile(
        "push {r4-r11, lr}\n\t"
        "mov r12, %0\n\t"
        "ldm r12!, {r1, r3, r5, r7, r9, r11}\n\t"
        "ldm r12, {r0, r2, r4, r6, r8}\n\t"
        "push {r0, r2, r4, r6, r8}\n"
        "1:\n\t"
        "ldrd r12, lr, [sp, #8]\n\t"
        "ldrd r0, r2, [r12], #8\n\t"
        "str r12, [sp, #8]\n\t"
        "mov r4, r0\n\tmov r6, r2\n\tmov r8, r0\n\tmov r10, r2\n\t"
        "dlstp.8 lr, lr\n"
        "2:\n\t"
        "vldrb.8 q0, [r1], #16\n\t"
        "vldrb.8 q3, [r7], #16\n\t"
        "vmladava.s8 r0, q0, q3\n\t"
        "vldrb.8 q1, [r3], #16\n\t"
        "vmladava.s8 r4, q1, q3\n\t"
        "vldrb.8 q2, [r5], #16\n\t"
        "vmladava.s8 r8, q2, q3\n\t"
        "vldrb.8 q3, [r9], #16\n\t"
        "vmladava.s8 r2, q0, q3\n\t"
        "vmladava.s8 r6, q1, q3\n\t"
        "vmladava.s8 r10, q2, q3\n\t"
        "letp lr, 2b\n\t"
        "strd r4, r6, [r11, #256]\n\t"
        "strd r8, r10, [r11, #512]\n\t"
        "strd r0, r2, [r11], #8\n\t"
        "ldrd r0, r2, [sp]\n\t"
        "ldr r4, [sp, #16]\n\t"
        "subs r1, r1, r0\n\t"
        "subs r3, r3, r0\n\t"
        "subs r5, r5, r0\n\t"
        "adds r7, r7, r2\n\t"
        "add r9, r9, r2\n\t"
        "cmp r11, r4\n\t"
        "blo 1b\n\t"
        "add sp, sp, #20\n\t"
        "pop {r4-r11, lr}"
        :
        : "r"(t)
        : "r0", "r1", "r2", "r3", "r12", "cc", "memory", EK_VECTORS);
#else
    const int8_t *w[2] = {t->w[0], t->w[1]};
    const int32_t *bias = t->bias;
    for (int32_t *to = t->sums; to < t->end; to += 2, bias += 2) {
        for (int32_t p = 0; p < 3; ++p) {
            for (int32_t c = 0; c < 2; ++c) {
                uint32_t sum = (uint32_t)bias[c];
                for (int32_t k = 0; k < t->depth; ++k) {
                    sum += (uint32_t)(t->x[p][k] * w[c][k]);
                }
                to[64 * p + c] = (int32_t)sum;
            }
        }
        w[0] += 2 * t->depth;
        w[1] += 2 * t->depth;
    }
#endif
}
