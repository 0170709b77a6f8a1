/* The remainder with the sign of b; 0 by zero. */
static int32_t ek_floor_mod_int(int32_t a, int32_t b)
{
    const int64_t rest = b == 0 ? 0 : (int64_t)a % b;
    return (int32_t)(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
}
