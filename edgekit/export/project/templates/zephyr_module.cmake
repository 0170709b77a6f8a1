# The model as a Zephyr library, with CONFIG_EDGEKIT_@macro@=y. SPDX-License-Identifier: 0BSD
if(CONFIG_EDGEKIT_@macro@)
  zephyr_include_directories("${CMAKE_CURRENT_LIST_DIR}/../src")
  zephyr_library_named(edgekit_@name@)
  zephyr_library_sources(@zephyr_sources@)
endif()
