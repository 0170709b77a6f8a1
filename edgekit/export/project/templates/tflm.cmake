# @name@ with TensorFlow Lite Micro: cmake -B build -DTFLM=/path/to/tree && cmake --build build. SPDX-License-Identifier: 0BSD
# TFLM: a source tree of @component@ at @version@, made by
#   python3 tensorflow/lite/micro/tools/project_generation/create_tflm_tree.py /path/to/tree
# For a board add -DCMAKE_TOOLCHAIN_FILE=...; its start-up code and console are yours.
cmake_minimum_required(VERSION 3.20)
project(@name@ C CXX)
set(TFLM "" CACHE PATH "TensorFlow Lite Micro's source tree")
if(NOT IS_DIRECTORY "${TFLM}/tensorflow/lite/micro")
  message(FATAL_ERROR "no TensorFlow Lite Micro in '${TFLM}': give its tree with -DTFLM=...")
endif()
set(CMAKE_CXX_STANDARD 17)

file(GLOB_RECURSE tflm_sources "${TFLM}/tensorflow/*.c" "${TFLM}/tensorflow/*.cc" "${TFLM}/third_party/*.c"
     "${TFLM}/third_party/*.cc" "${TFLM}/signal/*.c" "${TFLM}/signal/*.cc")
add_library(tflm STATIC ${tflm_sources})
target_include_directories(tflm PUBLIC "${TFLM}" "${TFLM}/third_party/flatbuffers/include" "${TFLM}/third_party/gemmlowp"
  "${TFLM}/third_party/kissfft" "${TFLM}/third_party/ruy" "${TFLM}/third_party/cmsis_nn" "${TFLM}/third_party/cmsis_nn/Include")
target_compile_definitions(tflm PUBLIC TF_LITE_STATIC_MEMORY)

# The model alone, for your own targets.
add_library(@name@_model OBJECT @sources@)
target_include_directories(@name@_model PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}")
target_link_libraries(@name@_model PUBLIC tflm)

add_executable(@name@_selftest selftest.cc)
target_link_libraries(@name@_selftest PRIVATE @name@_model tflm)
