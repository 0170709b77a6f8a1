/* needs: simd */
/* Lines of an image, `count` values `step` apart, with `pad` before them: `pairs` words. */
typedef struct {
    int32_t step, count, pad, pairs;
    uint32_t both; /* the zero point, twice */
} ek_plane;

/* One line as two int16 a word, a word every 12 bytes, the zero point before and behind it. x is NULL for a line outside. */
EK_ALONE static void ek_plane_dsp(const int8_t *x, const ek_plane *s, uint32_t *to)
{
    const int32_t step = s->step, count = s->count;
    const uint32_t *end = to + 3 * s->pairs;
    const uint32_t both = s->both, outside = both & 65535;
    int32_t column = x == 0 ? count : -s->pad;
    for (; column < 0 && to != end; column += 2, to += 3) {
        *to = both;
        if (column == -1 && count > 0) {
            *to = outside | (uint32_t)(uint16_t)*x << 16;
            x += step;
        }
    }
    uint32_t whole = (uint32_t)(end - to) / 3;
    if (column < count) {
        if (column + (int32_t)(2 * whole) > count) {
            whole = (uint32_t)(count - column) / 2;
        }
        column += (int32_t)(2 * whole);
        if (whole != 0) {
#if EK_DSP
            uint32_t u, v;
            __asm__ volatile(
                "lsrs %[n], %[n], #1\n\t"
                "bcc 1f\n\t"
                "ldrsb %[v], [%[x], %[s]]\n\t"
                "ldrsb %[u], [%[x]]\n\t"
                "add %[x], %[x], %[s], lsl #1\n\t"
                "pkhbt %[u], %[u], %[v], lsl #16\n\t"
                "str %[u], [%[t]], #12\n"
                "1:\n\t"
                "cmp %[n], #0\n\t"
                "beq 3f\n"
                "2:\n\t"
                "ldrsb %[v], [%[x], %[s]]\n\t"
                "ldrsb %[u], [%[x]]\n\t"
                "pkhbt %[u], %[u], %[v], lsl #16\n\t"
                "ldrsb %[v], [%[x], %[s3]]\n\t"
                "str %[u], [%[t]], #24\n\t"
                "ldrsb %[u], [%[x], %[s], lsl #1]\n\t"
                "add %[x], %[x], %[s], lsl #2\n\t"
                "pkhbt %[u], %[u], %[v], lsl #16\n\t"
                "str %[u], [%[t], #-12]\n\t"
                "subs %[n], %[n], #1\n\t"
                "bne 2b\n"
                "3:"
                : [x] "+r"(x), [t] "+r"(to), [n] "+r"(whole), [u] "=&r"(u), [v] "=&r"(v)
                : [s] "r"(step), [s3] "r"(3 * step)
                : "cc", "memory");
#else
            for (; whole; --whole) {
                const int32_t a = x[0], b = x[step];
                *to = (uint32_t)(uint16_t)a | (uint32_t)b << 16;
                to += 3;
                x += 2 * step;
            }
#endif
        }
        if (column < count && to != end) {
            *to = outside << 16 | (uint16_t)*x;
            to += 3;
        }
    }
    for (; to != end; to += 3) {
        *to = both;
    }
}
