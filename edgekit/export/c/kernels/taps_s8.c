/* needs: outline */
/* Adds u . v to sum[0..3], four channels side by side, over rows x columns taps. `step` bytes of u a tap; after a row u moves
   on by u_skip and v by v_skip. */
EK_OUTLINE static void ek_taps_s8(const int8_t *u, int32_t step, int32_t u_skip, const int8_t *v, int32_t v_skip, int32_t rows,
                                  int32_t columns, uint32_t *sum)
{
    uint32_t s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];
#define EK_TAP                         \
    s0 += (uint32_t)(u[0] * v[0]);     \
    s1 += (uint32_t)(u[1] * v[1]);     \
    s2 += (uint32_t)(u[2] * v[2]);     \
    s3 += (uint32_t)(u[3] * v[3]);     \
    u += step;                         \
    v += 4;
    if (columns == 3) {
        EK_ROLLED
        for (; rows > 0; --rows) {
            EK_TAP EK_TAP EK_TAP
            u += u_skip;
            v += v_skip;
        }
    }
    EK_ROLLED
    for (; rows > 0; --rows) {
        EK_ROLLED
        for (int32_t j = columns; j > 0; --j) {
            EK_TAP
        }
        u += u_skip;
        v += v_skip;
    }
#undef EK_TAP
    sum[0] = s0;
    sum[1] = s1;
    sum[2] = s2;
    sum[3] = s3;
}
