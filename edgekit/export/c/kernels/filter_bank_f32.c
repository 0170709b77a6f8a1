/* needs: bank */
/* Weighted sums of each row. */
static void ek_filter_bank_f32(const float *x, int32_t rows, const ek_bank *q, float *y)
{
    for (int32_t r = 0; r < rows; ++r) {
        ek_filter(x, q, y);
        x += q->depth;
        y += q->filters;
    }
}
