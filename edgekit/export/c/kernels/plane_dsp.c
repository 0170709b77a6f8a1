/* needs: simd */
/* Lines of an image, its values `step` apart, as words of two; the first has the zero point and a value when `half`, the last,
   when `rest`, a value and the zero point; `pairs` between them. */
typedef struct {
    int32_t step, half, pairs, rest;
    uint32_t zero; /* as an int16 */
    int32_t apart; /* words from a channel's plane to the next one's */
} ek_plane;

/* One line of two channels, as two int16 a word, a word every 12 bytes. x is NULL for a line outside. */
EK_SMALL static void ek_plane_dsp(const int8_t *x, const ek_plane *s, uint32_t *to)
{
    const int32_t step = s->step, apart = s->apart;
    const uint32_t zero = s->zero;
    int32_t pairs = s->pairs;
    if (x == 0) {
        for (pairs += s->half + s->rest; pairs > 0; --pairs) {
            to[apart] = *to = zero | zero << 16;
            to += 3;
        }
        return;
    }
    if (s->half) {
        to[0] = zero | (uint32_t)(uint16_t)x[0] << 16;
        to[apart] = zero | (uint32_t)(uint16_t)x[1] << 16;
        to += 3;
        x += step;
    }
#if EK_DSP
    uint32_t u, v, w;
    __asm__ volatile(
        "lsrs %[n], %[n], #1\n\t"
        "bcc 1f\n\t"
        "ldrh %[u], [%[x]]\n\t"
        "ldrh %[v], [%[x], %[s]]\n\t"
        "add %[x], %[x], %[s], lsl #1\n\t"
        "pkhbt %[u], %[u], %[v], lsl #16\n\t"
        "sxtb16 %[v], %[u], ror #8\n\t"
        "sxtb16 %[u], %[u]\n\t"
        "str %[v], [%[t], %[a]]\n\t"
        "str %[u], [%[t]], #12\n"
        "1:\n\t"
        "cmp %[n], #0\n\t"
        "beq 3f\n"
        "2:\n\t"
        "ldrh %[u], [%[x]]\n\t"
        "ldrh %[v], [%[x], %[s]]\n\t"
        "ldrh %[w], [%[x], %[s], lsl #1]\n\t"
        "pkhbt %[u], %[u], %[v], lsl #16\n\t"
        "ldrh %[v], [%[x], %[s3]]\n\t"
        "add %[x], %[x], %[s], lsl #2\n\t"
        "pkhbt %[w], %[w], %[v], lsl #16\n\t"
        "sxtb16 %[v], %[u], ror #8\n\t"
        "str %[v], [%[t], %[a]]\n\t"
        "sxtb16 %[u], %[u]\n\t"
        "str %[u], [%[t]], #12\n\t"
        "sxtb16 %[v], %[w], ror #8\n\t"
        "str %[v], [%[t], %[a]]\n\t"
        "sxtb16 %[w], %[w]\n\t"
        "str %[w], [%[t]], #12\n\t"
        "subs %[n], %[n], #1\n\t"
        "bne 2b\n\t"
        "3:"
        : [x] "+&r"(x), [t] "+&r"(to), [n] "+&r"(pairs), [u] "=&r"(u), [v] "=&r"(v), [w] "=&r"(w)
        : [s] "r"(step), [s3] "r"(3 * step), [a] "r"(4 * apart)
        : "cc", "memory");
#else
    for (; pairs; --pairs) {
        for (int32_t o = 0; o < 2; ++o) {
            to[o * apart] = (uint32_t)(uint16_t)x[o] | (uint32_t)(uint16_t)x[step + o] << 16;
        }
        to += 3;
        x += 2 * step;
    }
#endif
    if (s->rest) {
        to[0] = (uint32_t)(uint16_t)x[0] | zero << 16;
        to[apart] = (uint32_t)(uint16_t)x[1] | zero << 16;
    }
}
