/* main() of a firmware under QEMU. Above it stand MODEL_H and RUN (strings), GET_INPUTS(file), PUT_OUTPUTS(file),
 * RAM, TIMER, HALF_NS; NRF, GUARD, TRAP, STEPS with STEP_HOOK where they apply. For every record of the file "in" the network runs once, and
 * timer readings and outputs go to the file "out". */
#include <stdint.h>
#include MODEL_H

#define PAINT 0xA5A5A5A5u

static int32_t semihost(uint32_t call, const void *argument) /* Arm IHI 0084 */
{
    register uint32_t r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static uint32_t word(const void *pointer) { return (uint32_t)(uintptr_t)pointer; }

static uint32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t block[3] = {word(name), mode, length};
    return (uint32_t)semihost(0x01, block);
}

static void put(uint32_t file, const void *data, uint32_t size)
{
    const uint32_t block[3] = {file, word(data), size};
    (void)semihost(0x05, block);
}

static int32_t get(uint32_t file, void *data, uint32_t size) /* how many bytes are missing */
{
    const uint32_t block[3] = {file, word(data), size};
    return semihost(0x06, block);
}

static void leave(uint32_t status)
{
    const uint32_t block[2] = {0x20026, status};
    (void)semihost(0x20, block);
    for (;;) {
    }
}

/* Where the core was (ARMv7-M ARM B1.5.6: the stacked PC is the seventh word), CFSR, MMFAR and BFAR. */
__attribute__((used)) void edgekit_fault(const uint32_t *frame)
{
    extern uint32_t _estack;
    const volatile uint32_t *scb = (const volatile uint32_t *)0xE000ED00u;
    uint32_t what[5] = {word(frame), 0, scb[10], scb[13], scb[14]};
    if (what[0] >= RAM && what[0] < word(&_estack)) what[1] = frame[6] & ~1u;
    put(open_file("fault", 5, 5), what, sizeof what);
    leave(101);
}

__attribute__((naked)) void Default_Handler(void)
{
    __asm__ volatile(
        "mov r0, sp\n\tldr r1, =_estack\n\tmov sp, r1\n\tldr r2, =edgekit_fault\n\tbx r2\n\t.ltorg");
}

static volatile uint32_t *const timer = (volatile uint32_t *)TIMER;

/* TIMED: two readings around the call alone, the call itself and one reading between them; callee-saved registers only. */
#ifdef NRF /* nRF51 Reference Manual 19: START 0, CAPTURE 0x40, BITMODE 0x508, PRESCALER 0x510, CC 0x540; TIMER1 0x1000 on */
#define CALL "str %3, [%2, #0]\n\tbl " RUN "\n\tstr %3, [%2, #4]"
#define TIMED(before, after, status) \
    do { \
        __asm__ volatile(CALL : "=&r"(status), "=m"(timer[0x40 / 4]) : "l"(timer + 0x40 / 4), "l"(1) \
            : "r1", "r2", "r3", "r12", "lr", "cc", "memory"); \
        before = timer[0x540 / 4]; \
        after = timer[0x544 / 4]; \
    } while (0)
static uint32_t now(void)
{
    timer[0x48 / 4] = 1;
    return timer[0x548 / 4];
}
static uint32_t coarse(void)
{
    timer[0x1040 / 4] = 1;
    return timer[0x1540 / 4];
}
static uint32_t start(void) /* 1 the first time: the timer stands still after reset */
{
    if (timer[0x508 / 4] == 3) return 0;
    for (uint32_t at = 0; at < 0x2000 / 4; at += 0x1000 / 4) {
        timer[at + 0x508 / 4] = 3; /* 32 bits */
        timer[at + 0x510 / 4] = at ? 9 : 0;
        timer[at] = 1;
    }
    return 1;
}
#else /* Arm MPS2 FPGAIO: COUNTER 0x18, CLK1HZ 0x10 */
#define CALL "ldr %0, [%3]\n\tbl " RUN "\n\tldr %1, [%3]"
#define TIMED(before, after, status) \
    __asm__ volatile(CALL : "=&l"(before), "=&l"(after), "=&r"(status) : "l"(timer) \
        : "r1", "r2", "r3", "r12", "lr", "cc", "memory")
static uint32_t now(void) { return *timer; }
static uint32_t coarse(void) { return timer[-2]; }
static uint32_t start(void) /* 1 the first time: the counter runs from before reset; an LED remembers */
{
    if (timer[-6]) return 0;
    timer[-6] = 1;
    *timer = 0;
    return 1;
}
#endif

#ifdef STEPS /* instructions by step; slot STEPS: after the last one; STEPS + 1: what two hooks in a row issue between them */
static uint32_t counts[STEPS + 2], hits[STEPS + 2], step, last;
void edgekit_step(uint32_t low, uint32_t high);
/* No branch here: every call issues the same instructions, which are measured and taken off. */
void edgekit_step(uint32_t low, uint32_t high)
{
    uint32_t ticks = now() - last;
    counts[step] += (uint32_t)(((uint64_t)ticks * HALF_NS + 256) >> 9);
    hits[step]++;
    step = low + (high << 8);
    last = now();
}
#endif

int main(void)
{
    uint32_t first = now();
    if (start()) { /* now start-up again, this time timed */
        void Reset_Handler(void);
        Reset_Handler();
    }
#ifdef GUARD /* a megabyte without access below the stack, all else as without an MPU (ARMv7-M ARM, B3.5) */
    volatile uint32_t *mpu = (volatile uint32_t *)0xE000ED90u;
    mpu[3] = (RAM - 0x100000u) | 0x10u;
    mpu[4] = 19u << 1 | 1u;
    mpu[1] = 5u;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
#ifdef TRAP
    *(volatile uint32_t *)0xE000ED14u |= 8u; /* CCR.UNALIGN_TRP: unaligned accesses fault as on ARMv6-M */
#endif
    const uint32_t in = open_file("in", 2, 1), out = open_file("out", 3, 5);
    put(out, &first, 4);
    uint32_t here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    volatile uint32_t *paint = (volatile uint32_t *)RAM;
    while (word((const void *)paint) < here) *paint++ = PAINT;
#ifdef STEPS
    step = STEPS;
    STEP_HOOK(STEPS + 1);
    STEP_HOOK(STEPS);
#endif
    for (;;) {
        register uint32_t status __asm__("r0");
        uint32_t record[5];
        uint32_t before, after;
        if (GET_INPUTS(in)) break;
        record[3] = coarse();
#ifdef STEPS
        last = now();
#endif
        TIMED(before, after, status);
        record[0] = status;
        record[1] = before;
        record[2] = after;
        record[4] = coarse();
        put(out, record, sizeof record);
        PUT_OUTPUTS(out);
    }
    paint = (volatile uint32_t *)RAM;
    while (*paint == PAINT) paint++;
    here -= word((const void *)paint);
    put(out, &here, 4);
#ifdef STEPS
    put(out, counts, sizeof counts);
    put(out, hits, sizeof hits);
#endif
    leave(0);
    return 0;
}
