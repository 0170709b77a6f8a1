/* y[outer][depth][inner] = on where ids[outer][inner] is the place along depth, else off. */
static void ek_one_hot_@S(const int32_t *ids, int32_t outer, int32_t depth, int32_t inner, @T on, @T off, @T *y)
{
    for (int32_t o = 0; o < outer; ++o, ids += inner) {
        for (int32_t d = 0; d < depth; ++d) {
            for (int32_t k = 0; k < inner; ++k) {
                *y++ = ids[k] == d ? on : off;
            }
        }
    }
}
