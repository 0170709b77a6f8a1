/* needs: outline */
/* start[0..3] + u . v to sum[0..3], four channels side by side, over rows x columns taps. `step` bytes of u a tap; after a row
   u moves on by u_skip and v by v_skip. */
EK_OUTLINE static void ek_taps_s8(const int8_t *u, int32_t step, int32_t u_skip, const int8_t *v, int32_t v_skip, int32_t rows,
                                  int32_t columns, const int32_t *start, int32_t *sum)
{
    uint32_t s0 = (uint32_t)start[0], s1 = (uint32_t)start[1], s2 = (uint32_t)start[2], s3 = (uint32_t)start[3];
    if (rows > 0 && columns > 0) {
        int32_t left = columns;
        for (;;) {
            s0 += (uint32_t)(u[0] * v[0]);
            s1 += (uint32_t)(u[1] * v[1]);
            s2 += (uint32_t)(u[2] * v[2]);
            s3 += (uint32_t)(u[3] * v[3]);
            u += step;
            v += 4;
            if (--left == 0) {
                if (--rows == 0) {
                    break;
                }
                left = columns;
                u += u_skip;
                v += v_skip;
            }
        }
    }
    sum[0] = (int32_t)s0;
    sum[1] = (int32_t)s1;
    sum[2] = (int32_t)s2;
    sum[3] = (int32_t)s3;
}
