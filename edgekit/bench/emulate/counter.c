/* Called by Unicorn at the start of every translated block: counts the Thumb instructions the block holds.
 * A block runs to its end unless it faults, and instructions skipped inside an IT block are issued all the same,
 * so the sum is the number of instructions issued. Lengths are decoded once per block. */
#include <stdint.h>

typedef struct {
    uint64_t base;          /* address of code[0] */
    uint64_t bytes;         /* of code */
    const uint16_t *code;   /* the flash image */
    uint32_t *known;        /* per halfword: block size << 16 | instructions; 0 = not decoded yet */
    uint64_t *issued;       /* per halfword: instructions issued by blocks that start there */
    uint64_t total;
    uint64_t budget;        /* stop when total reaches it */
    int32_t (*stop)(void *);
    uint64_t stray;         /* address of the first block outside the image, 0 = none */
    uint64_t unaligned;     /* address of the first access that is not a multiple of its size, 0 = none */
} counter;

void edgekit_block(void *engine, uint64_t address, uint32_t size, void *user)
{
    counter *c = (counter *)user;
    uint64_t offset = address - c->base;
    if (offset >= c->bytes || offset + size > c->bytes) {
        if (c->stray == 0) c->stray = address;
        c->stop(engine);
        return;
    }
    uint32_t start = (uint32_t)(offset >> 1), known = c->known[start];
    if (known >> 16 != size) {
        uint32_t count = 0, at = start, end = start + size / 2;
        while (at < end) {
            at += c->code[at] >> 11 >= 0x1d ? 2u : 1u;  /* 0b11101, 0b11110, 0b11111 open a 32-bit instruction */
            count++;
        }
        known = size << 16 | count;
        c->known[start] = known;
    }
    c->issued[start] += known & 0xffffu;
    c->total += known & 0xffffu;
    if (c->total >= c->budget) c->stop(engine);
}

/* Called at every load and store, only for cores that fault every unaligned one (ARMv6-M). */
void edgekit_access(void *engine, int32_t type, uint64_t address, int32_t size, int64_t value, void *user)
{
    counter *c = (counter *)user;
    (void)type;
    (void)value;
    if ((address & (uint64_t)(size - 1)) != 0 && c->unaligned == 0) {
        c->unaligned = address;
        c->stop(engine);
    }
}
