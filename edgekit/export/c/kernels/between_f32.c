/* Between which two of `size` rows (or columns) row i of the output lies; returns how far it is from found[0] to found[1]. */
static float ek_between_f32(int32_t i, float scale, int32_t half, int32_t size, int32_t *found)
{
    const float at = half ? ((float)i + 0.5f) * scale - 0.5f : (float)i * scale;
    const int32_t first = at < 0.0f ? 0 : (int32_t)at;
    const int32_t next = at > (float)first ? first + 1 : first;
    found[0] = first;
    found[1] = next < size ? next : size - 1;
    return at - (float)first;
}
