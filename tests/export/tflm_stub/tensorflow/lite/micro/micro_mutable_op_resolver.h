#ifndef TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_
#define TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"

namespace tflite {

// As upstream: more registrations than tOpCount are an error.
template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd() { return Count(); }
  TfLiteStatus AddAveragePool2D() { return Count(); }
  TfLiteStatus AddCast() { return Count(); }
  TfLiteStatus AddConcatenation() { return Count(); }
  TfLiteStatus AddConv2D() { return Count(); }
  TfLiteStatus AddDepthwiseConv2D() { return Count(); }
  TfLiteStatus AddDequantize() { return Count(); }
  TfLiteStatus AddDiv() { return Count(); }
  TfLiteStatus AddElu() { return Count(); }
  TfLiteStatus AddFullyConnected() { return Count(); }
  TfLiteStatus AddGather() { return Count(); }
  TfLiteStatus AddHardSwish() { return Count(); }
  TfLiteStatus AddLeakyRelu() { return Count(); }
  TfLiteStatus AddLogistic() { return Count(); }
  TfLiteStatus AddMaxPool2D() { return Count(); }
  TfLiteStatus AddMaximum() { return Count(); }
  TfLiteStatus AddMean() { return Count(); }
  TfLiteStatus AddMinimum() { return Count(); }
  TfLiteStatus AddMul() { return Count(); }
  TfLiteStatus AddPad() { return Count(); }
  TfLiteStatus AddPadV2() { return Count(); }
  TfLiteStatus AddPrelu() { return Count(); }
  TfLiteStatus AddQuantize() { return Count(); }
  TfLiteStatus AddReduceMax() { return Count(); }
  TfLiteStatus AddReduceMin() { return Count(); }
  TfLiteStatus AddRelu() { return Count(); }
  TfLiteStatus AddRelu6() { return Count(); }
  TfLiteStatus AddReshape() { return Count(); }
  TfLiteStatus AddSlice() { return Count(); }
  TfLiteStatus AddSoftmax() { return Count(); }
  TfLiteStatus AddSplit() { return Count(); }
  TfLiteStatus AddSplitV() { return Count(); }
  TfLiteStatus AddStridedSlice() { return Count(); }
  TfLiteStatus AddSub() { return Count(); }
  TfLiteStatus AddSum() { return Count(); }
  TfLiteStatus AddTanh() { return Count(); }
  TfLiteStatus AddTranspose() { return Count(); }
  TfLiteStatus AddUnidirectionalSequenceLSTM() { return Count(); }

 private:
  TfLiteStatus Count() { return ++count_ <= tOpCount ? kTfLiteOk : kTfLiteError; }
  unsigned int count_ = 0;
};

}  // namespace tflite

#endif  // TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_
