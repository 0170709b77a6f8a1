#ifndef TENSORFLOW_LITE_MICRO_MICRO_LOG_H_
#define TENSORFLOW_LITE_MICRO_MICRO_LOG_H_

__attribute__((format(printf, 1, 2))) void MicroPrintf(const char* format, ...);

#endif  // TENSORFLOW_LITE_MICRO_MICRO_LOG_H_
