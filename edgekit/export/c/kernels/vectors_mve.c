/* Vectors of 128 bits: the core's own (Helium) where it has them, else C that does the same. The names are those of arm_mve.h. */
#if defined(__ARM_FEATURE_MVE) && !defined(__ARM_BIG_ENDIAN)
#include <arm_mve.h>
#define EK_MVE 1
#if defined(__GNUC__)
#define EK_ASM 1
#define EK_VECTORS "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7" /* of those a function need not keep; compilers have no name for VPR, so that is kept */
#else
#define EK_ASM 0
#endif
#define EK_APART __attribute__((noinline))
#define EK_SOME static inline
typedef int8x16_t ek_v16;
typedef int16x8_t ek_v8;
typedef int32x4_t ek_v4;
typedef int32x4x4_t ek_v4x4;
typedef mve_pred16_t ek_pred;
#define ek_vctp8q vctp8q
#define ek_vldrbq_z_s8 vldrbq_z_s8
#define ek_vldrbq_s8 vldrbq_s8
#define ek_vldrbq_s32 vldrbq_s32
#define ek_vldrwq_s32 vldrwq_s32
#define ek_vld4q_s32 vld4q_s32
#define ek_vstrbq_s8 vstrbq_s8
#define ek_vstrbq_p_s8 vstrbq_p_s8
#define ek_vdupq_n_s8 vdupq_n_s8
#define ek_vuninitializedq_s8() vuninitializedq_s8()
#define ek_vuninitializedq_s16() vuninitializedq_s16()
#define ek_vdupq_n_s32 vdupq_n_s32
#define ek_vdupq_n_s16 vdupq_n_s16
#define ek_vstrhq_s16 vstrhq_s16
#define ek_vmullbq_int_s8 vmullbq_int_s8
#define ek_vmulltq_int_s8 vmulltq_int_s8
#define ek_vmovlbq_s8 vmovlbq_s8
#define ek_vmovltq_s8 vmovltq_s8
#define ek_vmovlbq_s16 vmovlbq_s16
#define ek_vmovltq_s16 vmovltq_s16
#define ek_vaddq_s16 vaddq_s16
#define ek_vaddq_s32 vaddq_s32
#define ek_vandq_s32 vandq_s32
#define ek_vmaxq_s32 vmaxq_s32
#define ek_vminq_s32 vminq_s32
#define ek_vshlq_s32 vshlq_s32
#define ek_vshlq_n_s32 vshlq_n_s32
#define ek_vrshlq_s32 vrshlq_s32
#define ek_vshrq_n_s32 vshrq_n_s32
#define ek_vqrdmulhq_s32 vqrdmulhq_s32
#define ek_vqaddq_n_s16 vqaddq_n_s16
#define ek_vqmovnbq_s32 vqmovnbq_s32
#define ek_vqmovntq_s32 vqmovntq_s32
#define ek_vqmovnbq_s16 vqmovnbq_s16
#define ek_vqmovntq_s16 vqmovntq_s16
#define ek_vctp32q vctp32q
#define ek_vldrbq_z_s32 vldrbq_z_s32
#define ek_vstrbq_p_s32 vstrbq_p_s32
#define ek_vsubq_n_s32 vsubq_n_s32
#define ek_vaddq_n_s32 vaddq_n_s32
#define ek_vqrdmulhq_n_s32 vqrdmulhq_n_s32
#define ek_vmaxq_s8 vmaxq_s8
#define ek_vminq_s8 vminq_s8
#else
#define EK_MVE 0
#define EK_ASM 0
#define EK_APART
#if defined(__GNUC__)
#define EK_SOME __attribute__((unused)) static
#else
#define EK_SOME static
#endif
typedef struct {
    int8_t at[16];
} ek_v16;
typedef struct {
    int16_t at[8];
} ek_v8;
typedef struct {
    int32_t at[4];
} ek_v4;
typedef struct {
    ek_v4 val[4];
} ek_v4x4;
typedef uint32_t ek_pred; /* a bit a byte */

EK_SOME int32_t ek_within(int64_t x, int32_t low, int32_t high) { return (int32_t)(x < low ? low : x > high ? high : x); }
EK_SOME ek_pred ek_vctp8q(uint32_t count) { return count >= 16u ? 65535u : (1u << count) - 1u; }
EK_SOME ek_pred ek_vctp32q(uint32_t count) { return count >= 4u ? 65535u : (1u << 4u * count) - 1u; }
#define EK_LANES(type, lanes, expression) \
    { \
        type y; \
        for (int32_t i = 0; i < (lanes); ++i) { \
            y.at[i] = expression; \
        } \
        return y; \
    }
EK_SOME ek_v16 ek_vldrbq_z_s8(const int8_t *p, ek_pred m) EK_LANES(ek_v16, 16, (int8_t)((m >> i & 1u) != 0u ? p[i] : 0))
EK_SOME ek_v16 ek_vldrbq_s8(const int8_t *p) EK_LANES(ek_v16, 16, p[i])
EK_SOME ek_v4 ek_vldrbq_s32(const int8_t *p) EK_LANES(ek_v4, 4, p[i])
EK_SOME ek_v4 ek_vldrbq_z_s32(const int8_t *p, ek_pred m) EK_LANES(ek_v4, 4, (m >> (4 * i) & 1u) != 0u ? p[i] : 0)
EK_SOME ek_v4 ek_vldrwq_s32(const int32_t *p) EK_LANES(ek_v4, 4, p[i])
EK_SOME ek_v4x4 ek_vld4q_s32(const int32_t *p)
{
    ek_v4x4 y;
    for (int32_t i = 0; i < 16; ++i) {
        y.val[i & 3].at[i >> 2] = p[i];
    }
    return y;
}
EK_SOME void ek_vstrbq_p_s8(int8_t *p, ek_v16 a, ek_pred m)
{
    for (int32_t i = 0; i < 16; ++i) {
        if ((m >> i & 1u) != 0u) {
            p[i] = a.at[i];
        }
    }
}
EK_SOME void ek_vstrbq_s8(int8_t *p, ek_v16 a) { ek_vstrbq_p_s8(p, a, 65535u); }
EK_SOME void ek_vstrbq_p_s32(int8_t *p, ek_v4 a, ek_pred m)
{
    for (int32_t i = 0; i < 4; ++i) {
        if ((m >> (4 * i) & 1u) != 0u) {
            p[i] = (int8_t)(uint8_t)((uint32_t)a.at[i] & 255u);
        }
    }
}
EK_SOME void ek_vstrhq_s16(int16_t *p, ek_v8 a)
{
    for (int32_t i = 0; i < 8; ++i) {
        p[i] = a.at[i];
    }
}
EK_SOME ek_v8 ek_vdupq_n_s16(int16_t x) EK_LANES(ek_v8, 8, x)
EK_SOME ek_v16 ek_vdupq_n_s8(int8_t x) EK_LANES(ek_v16, 16, x)
EK_SOME ek_v16 ek_vuninitializedq_s8(void) EK_LANES(ek_v16, 16, 0)
EK_SOME ek_v8 ek_vuninitializedq_s16(void) EK_LANES(ek_v8, 8, 0)
EK_SOME ek_v4 ek_vdupq_n_s32(int32_t x) EK_LANES(ek_v4, 4, x)
EK_SOME ek_v8 ek_vmullbq_int_s8(ek_v16 a, ek_v16 b) EK_LANES(ek_v8, 8, (int16_t)(a.at[2 * i] * b.at[2 * i]))
EK_SOME ek_v8 ek_vmulltq_int_s8(ek_v16 a, ek_v16 b) EK_LANES(ek_v8, 8, (int16_t)(a.at[2 * i + 1] * b.at[2 * i + 1]))
EK_SOME ek_v8 ek_vmovlbq_s8(ek_v16 a) EK_LANES(ek_v8, 8, a.at[2 * i])
EK_SOME ek_v8 ek_vmovltq_s8(ek_v16 a) EK_LANES(ek_v8, 8, a.at[2 * i + 1])
EK_SOME ek_v4 ek_vmovlbq_s16(ek_v8 a) EK_LANES(ek_v4, 4, a.at[2 * i])
EK_SOME ek_v4 ek_vmovltq_s16(ek_v8 a) EK_LANES(ek_v4, 4, a.at[2 * i + 1])
EK_SOME ek_v8 ek_vaddq_s16(ek_v8 a, ek_v8 b) EK_LANES(ek_v8, 8, (int16_t)(a.at[i] + b.at[i]))
EK_SOME ek_v4 ek_vaddq_s32(ek_v4 a, ek_v4 b) EK_LANES(ek_v4, 4, (int32_t)((uint32_t)a.at[i] + (uint32_t)b.at[i]))
EK_SOME ek_v4 ek_vaddq_n_s32(ek_v4 a, int32_t n) EK_LANES(ek_v4, 4, (int32_t)((uint32_t)a.at[i] + (uint32_t)n))
EK_SOME ek_v4 ek_vsubq_n_s32(ek_v4 a, int32_t n) EK_LANES(ek_v4, 4, (int32_t)((uint32_t)a.at[i] - (uint32_t)n))
EK_SOME ek_v4 ek_vandq_s32(ek_v4 a, ek_v4 b) EK_LANES(ek_v4, 4, a.at[i] & b.at[i])
EK_SOME ek_v4 ek_vmaxq_s32(ek_v4 a, ek_v4 b) EK_LANES(ek_v4, 4, a.at[i] > b.at[i] ? a.at[i] : b.at[i])
EK_SOME ek_v4 ek_vminq_s32(ek_v4 a, ek_v4 b) EK_LANES(ek_v4, 4, a.at[i] < b.at[i] ? a.at[i] : b.at[i])
EK_SOME ek_v4 ek_vshlq_n_s32(ek_v4 a, int32_t n) EK_LANES(ek_v4, 4, (int32_t)((uint32_t)a.at[i] << n))
EK_SOME ek_v4 ek_vshlq_s32(ek_v4 a, ek_v4 n) EK_LANES(ek_v4, 4, n.at[i] < 0 ? a.at[i] >> -n.at[i] : (int32_t)((uint32_t)a.at[i] << n.at[i]))
EK_SOME ek_v4 ek_vshrq_n_s32(ek_v4 a, int32_t n) EK_LANES(ek_v4, 4, n > 31 ? a.at[i] >> 31 : a.at[i] >> n)
EK_SOME ek_v4 ek_vrshlq_s32(ek_v4 a, ek_v4 n) EK_LANES(ek_v4, 4, n.at[i] < 0 ? (int32_t)(((int64_t)a.at[i] + ((int64_t)1 << (-n.at[i] - 1))) >> -n.at[i]) : (int32_t)((uint32_t)a.at[i] << n.at[i]))
EK_SOME ek_v4 ek_vqrdmulhq_s32(ek_v4 a, ek_v4 b) EK_LANES(ek_v4, 4, ek_within(((int64_t)a.at[i] * b.at[i] + ((int64_t)1 << 30)) >> 31, INT32_MIN, INT32_MAX))
EK_SOME ek_v4 ek_vqrdmulhq_n_s32(ek_v4 a, int32_t n) { return ek_vqrdmulhq_s32(a, ek_vdupq_n_s32(n)); }
EK_SOME ek_v8 ek_vqaddq_n_s16(ek_v8 a, int16_t n) EK_LANES(ek_v8, 8, (int16_t)ek_within(a.at[i] + n, -32768, 32767))
EK_SOME ek_v8 ek_vqmovnbq_s32(ek_v8 a, ek_v4 b)
{
    for (int32_t i = 0; i < 4; ++i) {
        a.at[2 * i] = (int16_t)ek_within(b.at[i], -32768, 32767);
    }
    return a;
}
EK_SOME ek_v8 ek_vqmovntq_s32(ek_v8 a, ek_v4 b)
{
    for (int32_t i = 0; i < 4; ++i) {
        a.at[2 * i + 1] = (int16_t)ek_within(b.at[i], -32768, 32767);
    }
    return a;
}
EK_SOME ek_v16 ek_vqmovnbq_s16(ek_v16 a, ek_v8 b)
{
    for (int32_t i = 0; i < 8; ++i) {
        a.at[2 * i] = (int8_t)ek_within(b.at[i], -128, 127);
    }
    return a;
}
EK_SOME ek_v16 ek_vqmovntq_s16(ek_v16 a, ek_v8 b)
{
    for (int32_t i = 0; i < 8; ++i) {
        a.at[2 * i + 1] = (int8_t)ek_within(b.at[i], -128, 127);
    }
    return a;
}
EK_SOME ek_v16 ek_vmaxq_s8(ek_v16 a, ek_v16 b) EK_LANES(ek_v16, 16, a.at[i] > b.at[i] ? a.at[i] : b.at[i])
EK_SOME ek_v16 ek_vminq_s8(ek_v16 a, ek_v16 b) EK_LANES(ek_v16, 16, a.at[i] < b.at[i] ? a.at[i] : b.at[i])
#undef EK_LANES
#endif
