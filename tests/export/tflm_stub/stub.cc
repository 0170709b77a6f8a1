// A pretend interpreter that echoes: enough to link and run the generated main on the host.
#include <cstdarg>
#include <cstdio>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/system_setup.h"

namespace {
int8_t ints[2] = {9, 9};
float reals[2] = {0.5F, -2.0F};
TfLiteTensor in, out;
size_t arena_size;
}  // namespace

void MicroPrintf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\n");
}

namespace tflite {
void InitializeTarget() {}
MicroInterpreter::MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t* arena, size_t size) {
  arena_size = reinterpret_cast<uintptr_t>(arena) % 16 == 0 ? size : 0;
}
MicroInterpreter::~MicroInterpreter() {}
TfLiteStatus MicroInterpreter::AllocateTensors() {
  in.type = kTfLiteInt8;
  in.params.zero_point = -7;
  in.data.int8 = ints;
  in.bytes = sizeof(ints);
  out.type = kTfLiteFloat32;
  out.data.f = reals;
  out.bytes = sizeof(reals);
  return kTfLiteOk;
}
TfLiteStatus MicroInterpreter::Invoke() { return kTfLiteOk; }
TfLiteTensor* MicroInterpreter::input(size_t) { return &in; }
TfLiteTensor* MicroInterpreter::output(size_t index) { return index == 0 ? &out : &in; }
size_t MicroInterpreter::inputs_size() const { return 1; }
size_t MicroInterpreter::outputs_size() const { return 2; }
size_t MicroInterpreter::arena_used_bytes() const { return arena_size; }
}  // namespace tflite
