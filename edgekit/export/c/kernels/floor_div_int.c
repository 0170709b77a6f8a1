/* floor(a / b); 0 over zero. Wraps around at the one quotient that does not fit. */
static int32_t ek_floor_div_int(int32_t a, int32_t b)
{
    if (b == 0) {
        return 0;
    }
    const int64_t q = (int64_t)a / b;
    return (int32_t)(uint32_t)(q - ((int64_t)a % b != 0 && (a < 0) != (b < 0)));
}
