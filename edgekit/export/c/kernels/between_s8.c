/* Between which two of `size` rows (or columns) row i of the output lies: found[0], found[1], and found[2] / 1024 of the way. */
static void ek_between_s8(int32_t i, int32_t scale, int32_t half, int32_t size, int32_t *found)
{
    const int32_t at = i * scale + (half ? scale / 2 - 512 : 0);
    const int32_t next = (at + 1023) / 1024;
    found[0] = at < 0 ? 0 : at / 1024;
    found[1] = next < size ? next : size - 1;
    found[2] = at - 1024 * found[0];
}
