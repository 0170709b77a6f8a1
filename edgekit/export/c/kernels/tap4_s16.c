/* Adds the products of four channels at one place of a window. */
static void ek_tap4_s16(const int16_t *x, const int8_t *w, int32_t *sum)
{
    sum[0] += x[0] * w[0];
    sum[1] += x[1] * w[1];
    sum[2] += x[2] * w[2];
    sum[3] += x[3] * w[3];
}
