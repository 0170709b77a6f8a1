static int32_t ek_clamp_s16(int32_t x)
{
    return x < -32768 ? -32768 : x > 32767 ? 32767 : x;
}
