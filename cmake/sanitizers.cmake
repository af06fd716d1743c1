# SPDX-License-Identifier: Apache-2.0
if(AMBERFS_SANITIZE)
  # Instrumented code misleads the compiler about what may be uninitialized.
  add_compile_options(-fsanitize=${AMBERFS_SANITIZE} -fno-omit-frame-pointer
                      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${AMBERFS_SANITIZE})
endif()
if(AMBERFS_FUZZ)  # coverage for the fuzzer in every module; the targets themselves link it
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
