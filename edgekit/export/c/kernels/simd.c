/* needs: small */
/* EK_ALONE: an inner loop.
   Packed arithmetic of 32-bit words: the core's own instructions where it has Arm's DSP extension, else C that does the same. */
#if defined(__GNUC__) && defined(__thumb2__) && defined(__ARM_FEATURE_DSP) && !defined(__ARM_BIG_ENDIAN)
#define EK_DSP 1
#define EK_ALONE __attribute__((noinline))
#else
#define EK_DSP 0
#define EK_ALONE
#endif
/* Some of the functions below are used by the one way alone. */
#if defined(__GNUC__)
#define EK_EITHER __attribute__((unused))
#else
#define EK_EITHER
#endif
