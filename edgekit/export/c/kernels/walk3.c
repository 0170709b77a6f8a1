/* A walk over a box of up to six axes in three arrays at once, as ek_walk over two. */
typedef struct {
    int32_t inner, a_step, b_step, c_step; /* the innermost axis */
    int32_t runs;                          /* how many runs of `inner` there are */
    int32_t size[5], a_stride[5], b_stride[5], c_stride[5];
} ek_walk3;
