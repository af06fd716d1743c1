# SPDX-License-Identifier: Apache-2.0
# Every module links this PRIVATE; users of a module never inherit its warnings.
add_library(amberfs_warnings INTERFACE)
target_compile_options(amberfs_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wold-style-cast -Wnon-virtual-dtor
  -Woverloaded-virtual -Wformat=2 -Wunused-result
  # An options struct names what differs from its defaults; the rest is meant to be left out.
  -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:GNU>:-Wsuggest-override;-Wduplicated-cond;-Wlogical-op>
  # stable_sort of libstdc++ 12 uses what it deprecates itself, which only clang tells.
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety;-Wno-deprecated-declarations>)
option(AMBERFS_WERROR "warnings are errors" ON)
if(AMBERFS_WERROR)
  target_compile_options(amberfs_warnings INTERFACE -Werror)
endif()
