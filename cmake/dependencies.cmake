# SPDX-License-Identifier: Apache-2.0
# What amberfs is built from: Debian 12 packages only. Minimum versions and package names:
#
#   libfuse3       3.14   libfuse3-dev           the kernel's file system protocol
#   libzstd        1.5.4  libzstd-dev            codec
#   libxxhash      0.8.1  libxxhash-dev          frame and record checksums
#   OpenSSL        3.0    libssl-dev             hashes, ciphers, signatures
#   lmdb           0.9.24 liblmdb-dev            index
#   ISA-L          2.30   libisal-dev            Reed-Solomon parity of packs
#   fmt            9.1    libfmt-dev             text formatting (no <format> in libstdc++ 12)
#   spdlog         1.10   libspdlog-dev          the server's log
#   CLI11          2.1    libcli11-dev           command line
#   nlohmann_json  3.11   nlohmann-json3-dev     manifests, control messages, --json
#   toml++         3.3    libtomlplusplus-dev    config.toml
#   GoogleTest     1.12   libgtest-dev libgmock-dev
#   benchmark      1.7    libbenchmark-dev       tests/micro, only with AMBERFS_BENCH
set(AMBERFS_DEBIAN_PACKAGES
  "pkg-config libfuse3-dev libzstd-dev libxxhash-dev libssl-dev liblmdb-dev libisal-dev libfmt-dev libspdlog-dev \
libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libgtest-dev libgmock-dev")
if(AMBERFS_BENCH)
  string(APPEND AMBERFS_DEBIAN_PACKAGES " libbenchmark-dev")
endif()

find_package(PkgConfig)
if(NOT PkgConfig_FOUND)
  message(FATAL_ERROR "pkg-config is missing. Try: apt-get install ${AMBERFS_DEBIAN_PACKAGES}")
endif()

function(amberfs_require_pkg target spec)
  pkg_check_modules(${target} QUIET IMPORTED_TARGET ${spec})
  if(NOT ${target}_FOUND)
    message(FATAL_ERROR "${spec} is missing. Try: apt-get install ${AMBERFS_DEBIAN_PACKAGES}")
  endif()
endfunction()

function(amberfs_require_package name)
  find_package(${name} QUIET)
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "${name} is missing. Try: apt-get install ${AMBERFS_DEBIAN_PACKAGES}")
  endif()
endfunction()

amberfs_require_pkg(FUSE3 "fuse3>=3.14")
amberfs_require_pkg(ZSTD "libzstd>=1.5.4")
amberfs_require_pkg(XXHASH "libxxhash>=0.8.1")
amberfs_require_pkg(LMDB "lmdb>=0.9.24")
amberfs_require_pkg(ISAL "libisal>=2.30")
amberfs_require_pkg(TOMLPP "tomlplusplus>=3.3")
amberfs_require_package(OpenSSL)
amberfs_require_package(Threads)
amberfs_require_package(fmt)
amberfs_require_package(spdlog)
amberfs_require_package(CLI11)
amberfs_require_package(nlohmann_json)
if(AMBERFS_TESTS)
  amberfs_require_package(GTest)
endif()
if(AMBERFS_BENCH)
  amberfs_require_package(benchmark)
endif()
