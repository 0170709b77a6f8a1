// The part of TensorFlow Lite Micro's C types that generated code touches, with the same names and types.
// Written for edgekit's tests: it compiles the generated files, it runs nothing.
#ifndef TENSORFLOW_LITE_C_COMMON_H_
#define TENSORFLOW_LITE_C_COMMON_H_

#include <cstddef>
#include <cstdint>

typedef enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
typedef enum { kTfLiteNoType = 0, kTfLiteFloat32 = 1, kTfLiteInt32 = 2, kTfLiteUInt8 = 3, kTfLiteInt8 = 9 } TfLiteType;
typedef struct TfLiteQuantizationParams {
  float scale;
  int32_t zero_point;
} TfLiteQuantizationParams;
typedef union TfLitePtrUnion {
  int32_t* i32;
  float* f;
  char* raw;
  uint8_t* uint8;
  int8_t* int8;
  void* data;
} TfLitePtrUnion;
typedef struct TfLiteTensor {
  TfLiteQuantizationParams params;
  TfLitePtrUnion data;
  size_t bytes;
  TfLiteType type;
} TfLiteTensor;

#endif  // TENSORFLOW_LITE_C_COMMON_H_
