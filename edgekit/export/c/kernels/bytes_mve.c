/* needs: vectors_mve */
EK_SOME int8_t *ek_bytes_mve(const int8_t *from, int32_t count, int8_t *to)
{
    int8_t *end = to + count;
#if EK_MVE && defined(__GNUC__)
    __asm__ volatile(
        "wlstp.8 lr, %[n], 2f\n"
        "1:\n\t"
        "vldrb.8 q0, [%[f]], #16\n\t"
        "vstrb.8 q0, [%[t]], #16\n\t"
        "letp lr, 1b\n"
        "2:"
        : [f] "+r"(from), [t] "+r"(to)
        : [n] "r"(count)
        : "lr", "cc", "memory", "d0", "d1");
#else
    while (count-- > 0) {
        *to++ = *from++;
    }
#endif
    return end;
}

EK_SOME int8_t *ek_filled_mve(int8_t value, int32_t count, int8_t *to)
{
    const ek_v16 v = ek_vdupq_n_s8(value);
    for (int32_t i = 0; i < count; i += 16) {
        ek_vstrbq_p_s8(to + i, v, ek_vctp8q((uint32_t)(count - i)));
    }
    return to + count;
}
