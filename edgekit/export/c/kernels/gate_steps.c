/* x of the state's scale in steps of 1 / (24 * 512). */
static int32_t ek_gate_steps(int32_t x, int32_t multiplier, int32_t right)
{
    return (x * multiplier + ((1 << right) >> 1)) >> right;
}
