/* A walk over a box of up to six axes in two arrays at once: runs of `inner` elements, then the outer axes, last first. */
typedef struct {
    int32_t inner, a_step, b_step; /* the innermost axis */
    int32_t runs;                  /* how many runs of `inner` there are */
    int32_t size[5], a_stride[5], b_stride[5];
} ek_walk;
