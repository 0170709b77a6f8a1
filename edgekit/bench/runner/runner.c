/* Runs @name@ on samples from a file, then times it: a whole program for Linux. Prints one JSON object.
 * runner INPUTS OUTPUTS SAMPLES RUNS SECONDS WARM_S AT_MOST LIMIT_S   SPDX-License-Identifier: 0BSD */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "@header@"

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_nsec;
}

/* Most memory that this process has held, KiB; -1 where the system does not say. */
static long memory_kb(void)
{
    char line[256];
    long found = -1;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "VmHWM:", 6) == 0) found = strtol(line + 6, 0, 10);
    }
    fclose(file);
    return found;
}

static void say_kb(const char *key, long value)
{
    if (value < 0) printf(", \"%s\": null", key);
    else printf(", \"%s\": %ld", key, value);
}

#ifdef EDGEKIT_STEPS
/* Time of each kernel call in this run, and in the fastest. */
static int64_t spent[EDGEKIT_STEPS], least_spent[EDGEKIT_STEPS], last;
static int current = -1;

void edgekit_step(int number)
{
    if (current >= 0) spent[current] += now_ns() - last;
    current = number < EDGEKIT_STEPS ? number : -1;
    last = now_ns();
}
#endif

static int broken(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return 3;
}

int main(int argc, char **argv)
{
    if (argc != 9) return broken("runner INPUTS OUTPUTS SAMPLES RUNS SECONDS WARM_S AT_MOST LIMIT_S");
    const long samples = atol(argv[3]), least = atol(argv[4]), at_most = atol(argv[7]);
    const double seconds = atof(argv[5]), warm_s = atof(argv[6]), limit = atof(argv[8]);
    const long base = memory_kb();
    const int64_t loading = now_ns();
    @state@ *const state = (@state@ *)malloc(sizeof(@state@));
    int64_t *const times = (int64_t *)malloc((size_t)at_most * sizeof(int64_t));
    if (!state || !times) return broken("out of memory");
@buffers@
@reset@    const int64_t load = now_ns() - loading;
    FILE *const in = fopen(argv[1], "rb"), *const out = fopen(argv[2], "wb");
    if (!in || !out) return broken("cannot open the samples");
    int64_t first = 0;
    for (long i = 0; i < samples; i++) {
@read@
@reset@        const int64_t start = now_ns();
        const int32_t status = @call@;
        if (i == 0) first = now_ns() - start;
        if (status != 0) return broken("the model failed");
@write@
    }
    fclose(in);
    if (fclose(out) != 0) return broken("cannot write the outputs");
    long warm = 0, count = 0;
    int64_t begin = now_ns();
    while (warm == 0 || (double)(now_ns() - begin) < warm_s * 1e9) {
        (void)@call@;
        warm++;
    }
#ifdef EDGEKIT_STEPS
    int64_t fastest = INT64_MAX;
#endif
    begin = now_ns();
    while (count < at_most) {
#ifdef EDGEKIT_STEPS
        memset(spent, 0, sizeof spent);
#endif
        const int64_t start = now_ns();
        (void)@call@;
        const int64_t end = now_ns();
        times[count++] = end - start;
#ifdef EDGEKIT_STEPS
        if (end - start < fastest) {
            fastest = end - start;
            memcpy(least_spent, spent, sizeof spent);
        }
#endif
        const double spent = (double)(end - begin) * 1e-9;
        if ((count >= least && spent >= seconds) || spent >= limit) break;
    }
    const long peak = memory_kb();
    printf("{\"engine\": \"generated C\", \"threads\": 1, \"load_ns\": %lld, \"first_ns\": %lld, \"warm\": %ld", (long long)load,
           (long long)first, warm);
    say_kb("peak_kb", peak);
    say_kb("base_kb", base);
    printf(", \"times_ns\": [");
    for (long i = 0; i < count; i++) printf(i ? ", %lld" : "%lld", (long long)times[i]);
#ifdef EDGEKIT_STEPS
    printf("], \"steps_ns\": [");
    for (int i = 0; i < EDGEKIT_STEPS; i++) printf(i ? ", %lld" : "%lld", (long long)least_spent[i]);
#endif
    printf("]}\n");
    return fflush(stdout) == 0 ? 0 : 4;
}
