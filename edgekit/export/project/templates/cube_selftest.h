/* SPDX-License-Identifier: 0BSD */
#ifndef @macro@_SELFTEST_H
#define @macro@_SELFTEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs @name@ on its golden vectors and prints what came out; returns how many failed. */
int32_t @name@_selftest(void);

#ifdef __cplusplus
}
#endif

#endif
