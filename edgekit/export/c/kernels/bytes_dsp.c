/* needs: simd */
/* Bytes from one place to another, which may be 4 or more bytes further on, first to last. */
EK_ALONE static int8_t *ek_bytes_dsp(const int8_t *from, int32_t count, int8_t *to)
{
#if EK_DSP
    uint32_t word;
    __asm__ volatile(
        "subs %[n], %[n], #16\n\t"
        "blo 6f\n"
        "5:\n\t"
        ".rept 4\n\t"
        "ldr %[w], [%[f]], #4\n\t"
        "str %[w], [%[t]], #4\n\t"
        ".endr\n\t"
        "subs %[n], %[n], #16\n\t"
        "bhs 5b\n"
        "6:\n\t"
        "adds %[n], %[n], #12\n\t"
        "bmi 2f\n"
        "1:\n\t"
        "ldr %[w], [%[f]], #4\n\t"
        "str %[w], [%[t]], #4\n\t"
        "subs %[n], %[n], #4\n\t"
        "bhs 1b\n"
        "2:\n\t"
        "adds %[n], %[n], #4\n\t"
        "beq 4f\n"
        "3:\n\t"
        "ldrb %[w], [%[f]], #1\n\t"
        "strb %[w], [%[t]], #1\n\t"
        "subs %[n], %[n], #1\n\t"
        "bne 3b\n"
        "4:"
        : [f] "+&r"(from), [t] "+&r"(to), [n] "+&r"(count), [w] "=&r"(word)
        :
        : "cc", "memory");
#else
    while (count-- > 0) {
        *to++ = *from++;
    }
#endif
    return to;
}
