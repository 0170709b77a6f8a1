/* needs: vectors_mve */
EK_SOME int8_t *ek_bytes_mve(const int8_t *from, int32_t count, int8_t *to)
{
    int8_t *end = to + count;
#if EK_ASM
    __asm__ volatile(
        "wlstp.8 lr, %[n], 2f\n"
        "1:\n\t"
        "vldrb.8 q0, [%[f]], #16\n\t"
        "vstrb.8 q0, [%[t]], #16\n\t"
        "letp lr, 1b\n"
        "2:"
        : [f] "+&r"(from), [t] "+&r"(to)
        : [n] "r"(count)
        : "lr", "cc", "memory", EK_VECTORS);
#else
    while (count-- > 0) {
        *to++ = *from++;
    }
#endif
    return end;
}

EK_SOME int8_t *ek_filled_mve(int8_t value, int32_t count, int8_t *to)
{
    int8_t *end = to + count;
#if EK_ASM
    __asm__ volatile(
        "vdup.8 q0, %[v]\n\t"
        "wlstp.8 lr, %[n], 2f\n"
        "1:\n\t"
        "vstrb.8 q0, [%[t]], #16\n\t"
        "letp lr, 1b\n"
        "2:"
        : [t] "+&r"(to)
        : [n] "r"(count), [v] "r"(value)
        : "lr", "cc", "memory", EK_VECTORS);
#else
    while (count-- > 0) {
        *to++ = value;
    }
#endif
    return end;
}

/* `channels` bytes of each of `count` columns, `step` bytes apart, to 16 bytes a column. */
EK_SOME int8_t *ek_columns_mve(const int8_t *from, int32_t step, int32_t channels, int32_t count, int8_t *to)
{
#if EK_ASM
    uint32_t kept;
    __asm__ volatile(
        "vmrs %[p], p0\n\t"
        "vctp.8 %[c]\n\t"
        "wls lr, %[n], 2f\n"
        "1:\n\t"
        "vpst\n\t"
        "vldrbt.u8 q0, [%[f]]\n\t"
        "add %[f], %[f], %[s]\n\t"
        "vstrb.8 q0, [%[t]], #16\n\t"
        "le lr, 1b\n"
        "2:\n\t"
        "vmsr p0, %[p]"
        : [f] "+&r"(from), [t] "+&r"(to), [p] "=&r"(kept)
        : [n] "r"(count), [c] "r"(channels), [s] "r"(step)
        : "lr", "cc", "memory", EK_VECTORS);
#else
    const ek_pred p = ek_vctp8q((uint32_t)channels);
    for (; count > 0; --count, from += step, to += 16) {
        ek_vstrbq_s8(to, ek_vldrbq_z_s8(from, p));
    }
#endif
    return to;
}

/* `rows` runs of `run` bytes, `line` bytes apart, side by side. */
EK_SOME int8_t *ek_window_mve(const int8_t *from, int32_t line, int32_t rows, int32_t run, int8_t *to)
{
#if EK_ASM
    const int8_t *f;
    int8_t *t;
    __asm__ volatile(
        "1:\n\t"
        "mov %[f], %[from]\n\t"
        "mov %[t], %[to]\n\t"
        "dlstp.8 lr, %[run]\n"
        "2:\n\t"
        "vldrb.8 q0, [%[f]], #16\n\t"
        "vstrb.8 q0, [%[t]], #16\n\t"
        "letp lr, 2b\n\t"
        "add %[from], %[from], %[line]\n\t"
        "add %[to], %[to], %[run]\n\t"
        "subs %[rows], %[rows], #1\n\t"
        "bne 1b"
        : [from] "+&r"(from), [to] "+&r"(to), [rows] "+&r"(rows), [f] "=&r"(f), [t] "=&r"(t)
        : [run] "r"(run), [line] "r"(line)
        : "lr", "cc", "memory", EK_VECTORS);
#else
    for (; rows > 0; --rows, from += line) {
        to = ek_bytes_mve(from, run, to);
    }
#endif
    return to;
}
