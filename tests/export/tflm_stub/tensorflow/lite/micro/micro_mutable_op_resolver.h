#ifndef TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_
#define TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"

namespace tflite {

// As upstream: more registrations than tOpCount are an error.
template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAbs() { return Count(); }
  TfLiteStatus AddAdd() { return Count(); }
  TfLiteStatus AddArgMax() { return Count(); }
  TfLiteStatus AddArgMin() { return Count(); }
  TfLiteStatus AddAveragePool2D() { return Count(); }
  TfLiteStatus AddBatchMatMul() { return Count(); }
  TfLiteStatus AddBroadcastTo() { return Count(); }
  TfLiteStatus AddCast() { return Count(); }
  TfLiteStatus AddCeil() { return Count(); }
  TfLiteStatus AddConcatenation() { return Count(); }
  TfLiteStatus AddConv2D() { return Count(); }
  TfLiteStatus AddCos() { return Count(); }
  TfLiteStatus AddCumSum() { return Count(); }
  TfLiteStatus AddDepthToSpace() { return Count(); }
  TfLiteStatus AddDepthwiseConv2D() { return Count(); }
  TfLiteStatus AddDequantize() { return Count(); }
  TfLiteStatus AddDiv() { return Count(); }
  TfLiteStatus AddDynamicUpdateSlice() { return Count(); }
  TfLiteStatus AddElu() { return Count(); }
  TfLiteStatus AddEqual() { return Count(); }
  TfLiteStatus AddExp() { return Count(); }
  TfLiteStatus AddFloor() { return Count(); }
  TfLiteStatus AddFloorDiv() { return Count(); }
  TfLiteStatus AddFloorMod() { return Count(); }
  TfLiteStatus AddFullyConnected() { return Count(); }
  TfLiteStatus AddGather() { return Count(); }
  TfLiteStatus AddGatherNd() { return Count(); }
  TfLiteStatus AddGreater() { return Count(); }
  TfLiteStatus AddGreaterEqual() { return Count(); }
  TfLiteStatus AddHardSwish() { return Count(); }
  TfLiteStatus AddL2Normalization() { return Count(); }
  TfLiteStatus AddLeakyRelu() { return Count(); }
  TfLiteStatus AddLess() { return Count(); }
  TfLiteStatus AddLessEqual() { return Count(); }
  TfLiteStatus AddLog() { return Count(); }
  TfLiteStatus AddLogicalAnd() { return Count(); }
  TfLiteStatus AddLogicalNot() { return Count(); }
  TfLiteStatus AddLogicalOr() { return Count(); }
  TfLiteStatus AddLogistic() { return Count(); }
  TfLiteStatus AddLogSoftmax() { return Count(); }
  TfLiteStatus AddMaxPool2D() { return Count(); }
  TfLiteStatus AddMaximum() { return Count(); }
  TfLiteStatus AddMean() { return Count(); }
  TfLiteStatus AddMinimum() { return Count(); }
  TfLiteStatus AddMul() { return Count(); }
  TfLiteStatus AddNotEqual() { return Count(); }
  TfLiteStatus AddPad() { return Count(); }
  TfLiteStatus AddPadV2() { return Count(); }
  TfLiteStatus AddPrelu() { return Count(); }
  TfLiteStatus AddQuantize() { return Count(); }
  TfLiteStatus AddReduceAll() { return Count(); }
  TfLiteStatus AddReduceMax() { return Count(); }
  TfLiteStatus AddReduceMin() { return Count(); }
  TfLiteStatus AddRelu() { return Count(); }
  TfLiteStatus AddRelu6() { return Count(); }
  TfLiteStatus AddReshape() { return Count(); }
  TfLiteStatus AddResizeBilinear() { return Count(); }
  TfLiteStatus AddResizeNearestNeighbor() { return Count(); }
  TfLiteStatus AddRound() { return Count(); }
  TfLiteStatus AddRsqrt() { return Count(); }
  TfLiteStatus AddSelectV2() { return Count(); }
  TfLiteStatus AddSin() { return Count(); }
  TfLiteStatus AddSlice() { return Count(); }
  TfLiteStatus AddSoftmax() { return Count(); }
  TfLiteStatus AddSpaceToDepth() { return Count(); }
  TfLiteStatus AddSplit() { return Count(); }
  TfLiteStatus AddSplitV() { return Count(); }
  TfLiteStatus AddSqrt() { return Count(); }
  TfLiteStatus AddSquaredDifference() { return Count(); }
  TfLiteStatus AddStridedSlice() { return Count(); }
  TfLiteStatus AddSub() { return Count(); }
  TfLiteStatus AddSum() { return Count(); }
  TfLiteStatus AddTanh() { return Count(); }
  TfLiteStatus AddTranspose() { return Count(); }
  TfLiteStatus AddTransposeConv() { return Count(); }
  TfLiteStatus AddUnidirectionalSequenceLSTM() { return Count(); }
  TfLiteStatus AddWhile() { return Count(); }

 private:
  TfLiteStatus Count() { return ++count_ <= tOpCount ? kTfLiteOk : kTfLiteError; }
  unsigned int count_ = 0;
};

}  // namespace tflite

#endif  // TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_
