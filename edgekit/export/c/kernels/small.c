/* EK_SMALL: what is called around inner loops, once a tile, line or row, is made small. */
#if defined(__clang__)
#define EK_SMALL __attribute__((noinline, minsize))
#elif defined(__GNUC__)
#define EK_SMALL __attribute__((noinline, optimize("Os")))
#else
#define EK_SMALL
#endif
