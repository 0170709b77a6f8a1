# west build -b @zephyr@ samples/selftest. SPDX-License-Identifier: 0BSD
cmake_minimum_required(VERSION 3.20.0)
list(APPEND ZEPHYR_EXTRA_MODULES "${CMAKE_CURRENT_LIST_DIR}/../..")
find_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})
project(@name@_selftest)
target_sources(app PRIVATE src/main.@suffix@)
