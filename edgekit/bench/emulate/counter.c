/* Called by Unicorn at the start of every translated block: counts the Thumb or RISC-V instructions the block holds.
 * A block runs to its end unless it faults, and instructions skipped inside an IT block are issued all the same,
 * so the sum is the number of instructions issued. Lengths are decoded once per block. */
#include <stdint.h>

/* A cache of flash words: fully associative, least recently used line out; a line's words are fetched as they are asked for. */
typedef struct {
    uint32_t lines, line_shift, word_shift, recent; /* recent: index of the line of the last access */
    uint64_t tags[64], used[64], misses, clock;     /* tag 0: empty line */
    uint32_t valid[64];                             /* bit per word */
} cache;

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
    int64_t *entered;       /* NULL or, per halfword, entries of blocks there less ends of blocks there */
    uint64_t *taken;        /* per halfword of a block's last instruction: how often what followed was not the next one */
    uint64_t next;          /* address after the last block */
    uint64_t last;          /* index of its last instruction */
    cache *fetches, *reads; /* of instructions and of data from flash */
    uint64_t riscv;         /* not Thumb */
} counter;

/* Halfwords of the instruction that starts with `half`: 0b11101, 0b11110 and 0b11111 open 32 bits of Thumb, 0b11 at the end of
 * RISC-V. */
static uint32_t length(const counter *c, uint16_t half)
{
    return (c->riscv ? (half & 3u) == 3u : half >> 11 >= 0x1d) ? 2u : 1u;
}

static void look_up(cache *c, uint64_t address)
{
    uint64_t tag = (address >> c->line_shift) + 1;
    uint32_t bit = 1u << ((address >> c->word_shift) & ((1u << (c->line_shift - c->word_shift)) - 1u));
    uint32_t at = c->recent;
    if (c->tags[at] != tag) {
        uint32_t oldest = 0;
        for (at = 0; at < c->lines && c->tags[at] != tag; at++)
            if (c->used[at] < c->used[oldest]) oldest = at;
        if (at == c->lines) {
            at = oldest;
            c->tags[at] = tag;
            c->valid[at] = 0;
        }
        c->recent = at;
    }
    c->used[at] = ++c->clock;
    if (!(c->valid[at] & bit)) {
        c->valid[at] |= bit;
        c->misses++;
    }
}

static void profile(counter *c, uint64_t address, uint32_t size)
{
    uint32_t start = (uint32_t)((address - c->base) >> 1), end = start + size / 2, at = start;
    if (c->next && c->next != address) c->taken[c->last]++;
    while (at < end) {
        c->last = at;
        at += length(c, c->code[at]);
    }
    c->next = address + size;
    c->entered[start]++;
    c->entered[end]--;
    if (c->fetches) {
        uint64_t word = 1u << c->fetches->word_shift;
        for (uint64_t a = address & ~(word - 1u); a < address + size; a += word) look_up(c->fetches, a);
    }
}

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
            at += length(c, c->code[at]);
            count++;
        }
        known = size << 16 | count;
        c->known[start] = known;
    }
    c->issued[start] += known & 0xffffu;
    c->total += known & 0xffffu;
    if (c->entered) profile(c, address, size);
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

/* Called at every load and store of a profiled run. */
void edgekit_read(void *engine, int32_t type, uint64_t address, int32_t size, int64_t value, void *user)
{
    counter *c = (counter *)user;
    (void)engine;
    (void)type;
    (void)value;
    if (!c->entered || address - c->base >= c->bytes) return;
    look_up(c->reads, address);
    if (size > 4) look_up(c->reads, address + 4);
}
