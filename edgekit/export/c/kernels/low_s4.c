/* needs: outline */
/* The signed low half of a byte. */
static int32_t ek_low_s4(int8_t byte)
{
    return ((byte & 15) ^ 8) - 8;
}
