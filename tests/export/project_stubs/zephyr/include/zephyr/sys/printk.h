#pragma once
#ifdef __cplusplus
extern "C" {
#endif
__attribute__((format(printf, 1, 2))) void printk(const char *fmt, ...);
#ifdef __cplusplus
}
#endif
