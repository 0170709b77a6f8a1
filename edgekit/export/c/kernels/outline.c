/* Inner loops are functions of their own, so that the compiler keeps their sums and pointers in registers; they are unrolled
   here as far as it pays. */
#if defined(__clang__)
#define EK_OUTLINE __attribute__((noinline))
#define EK_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define EK_OUTLINE __attribute__((noinline))
#define EK_ROLLED _Pragma("GCC unroll 1")
#else
#define EK_OUTLINE
#define EK_ROLLED
#endif
