/* A product of batches: a[rows][depth] and b[depth][columns], by the distance between neighbours along each axis. */
typedef struct {
    int32_t rows, depth, columns;
    int32_t a_row, a_step; /* from row to row of a, and along a row */
    int32_t b_step, b_column;
} ek_matrices;
