#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
int64_t k_uptime_ticks(void);
static inline uint64_t k_ticks_to_us_floor64(uint64_t ticks)
{
    return ticks * 100u;
}
#ifdef __cplusplus
}
#endif
