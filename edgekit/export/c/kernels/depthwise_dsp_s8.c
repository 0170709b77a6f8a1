/* needs: simd window plane_dsp limit_s8 */
typedef struct {
    const int32_t *record; /* of a channel: bias * 256 + right shift, multiplier; or each by itself, the bias first; biases doubled */
    int32_t size;          /* words of a record: 2, or 3 */
    int32_t zero_point, low, high;
} ek_planes;

/* Depthwise 3x3 convolution, the planes of two channels at a time, two outputs at once. w[channels][3][3], with lines first; by
   `across` lines are the image's columns, not its rows. Two channels or more; an odd last one is taken with the one before it,
   whose output it leaves. scratch: 32 words, and three lines for each of two channels. y may be x. */
EK_SMALL static void ek_depthwise_dsp_s8(const int8_t *x, const ek_window *s, int32_t across, int32_t zero, const int8_t *w,
                                const ek_planes *q, void (*line)(const ek_line *), int8_t *scratch, int8_t *y)
{
    const int32_t c = s->in_c, stride = s->stride_h;
    const int32_t count = across ? s->out_h : s->out_w, lines = across ? s->out_w : s->out_h;
    const int32_t in_count = across ? s->in_h : s->in_w, in_lines = across ? s->in_w : s->in_h;
    const int32_t line_step = across ? c : s->in_w * c, out_step = across ? c : s->out_w * c;
    const int32_t before = across ? s->pad_top : s->pad_left, above = across ? s->pad_left : s->pad_top;
    const int32_t words = (count + 1) / 2 * stride + 1, room = words - before / 2;
    uint32_t *taps = (uint32_t *)(void *)scratch, *plane = taps + 32;
    ek_plane *image = (ek_plane *)(void *)(taps + 26);
    image->step = across ? s->in_w * c : c;
    image->half = before & 1;
    image->pairs = (in_count - image->half) / 2;
    image->rest = (in_count - image->half) & 1;
    if (image->pairs >= room - image->half) {
        image->pairs = room - image->half;
        image->rest = 0;
    }
    image->zero = (uint16_t)zero;
    image->apart = 3 * words;
    for (int32_t i = 0; i < 6 * words; ++i) {
        plane[i] = image->zero * 65537u;
    }
    ek_line t;
    t.bytes = count / 2 * 12 * stride;
    t.odd = count & 1;
    t.step = across ? s->out_w * c : c;
    t.zero_point = q->zero_point;
    for (int32_t n = 0; n < s->batch; ++n) {
        for (int32_t k = 0, first = 0; k < c; k += 2) {
            if (k == c - 1) {
                --k;
                first = 1;
            }
            const int8_t *from = w + 9 * k;
            uint32_t *to = taps;
            for (int32_t o = 0; o < 2; ++o) {
                const int32_t *record = q->record + q->size * (k + o);
                *to++ = (uint32_t)(record[0] >> 8 * (3 - q->size));
                *to++ = (uint32_t)record[1];
                *to++ = (uint32_t)record[2 * q->size - 4] & 255;
                for (int32_t i = 0; i < 3; ++i) {
                    const uint32_t w1 = (uint32_t)(2 * from[1]);
                    to[0] = ((uint32_t)(2 * from[0]) & 65535) | w1 << 16;
                    to[1] = (w1 & 65535) | (uint32_t)(2 * from[2]) << 16;
                    to += 2;
                    from += 3;
                }
                for (int32_t i = 0; i < 4; ++i, ++to) {
                    *to = to[-6];
                }
            }
            int8_t *out = y + k;
            /* The line to read next, its place, lines until a window is whole. */
            int32_t next = -above, slot = 0, missing = 3;
            for (int32_t l = lines; l > 0; --l) {
                for (; missing > 0; --missing, ++next) {
                    const int8_t *in = next >= 0 && next < in_lines ? x + next * line_step + k : 0;
                    ek_plane_dsp(in, image, plane + before / 2 * 3 + slot);
                    slot = slot == 2 ? 0 : slot + 1;
                }
                missing = stride;
                for (int32_t o = first; o < 2; ++o) {
                    t.x = plane + o * image->apart;
                    t.y = out + o;
                    t.scale = (const int32_t *)taps + 13 * o;
                    t.w = taps + 13 * o + 3 + (slot ? 6 - 2 * slot : 0); /* weights in the order of the lines' places */
                    line(&t);
                }
                out += out_step;
            }
        }
        x += s->in_h * s->in_w * c;
        y += s->out_h * s->out_w * c;
    }
    ek_limit_s8(y - s->batch * s->out_h * s->out_w * c, s->batch * s->out_h * s->out_w * c, q->low, q->high);
}
