// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error. Every fallible function of amberfs returns one; none throws.
// Threads:   a value type, no shared state.
// Use:       TRY(expr);                      returns the error of `expr` to the caller
//            TRY_ASSIGN(auto x, expr);       the same, and names the value
//            return fail(Errc::kPackRead, errno, "read frame", path);
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "blockstore/base/error.h"

namespace amberfs {

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

// Success without a value: `Status f()`, `return ok();`.
using Status = Result<void>;

inline Status ok() {
  return {};
}

[[nodiscard]] inline std::unexpected<Error> fail(Error error) {
  return std::unexpected<Error>(std::move(error));
}

// An Error made on the spot: `code` names the site, `sys_errno` is 0 when no system call failed,
// `tried` says what was being done, `object` on what.
[[nodiscard]] inline std::unexpected<Error> fail(Errc code, int sys_errno, std::string tried,
                                                 std::string object = {}) {
  return std::unexpected<Error>(
      Error{code, sys_errno, std::move(tried), std::move(object)});
}

}  // namespace amberfs

#define AMBERFS_CONCAT2(a, b) a##b
#define AMBERFS_CONCAT(a, b) AMBERFS_CONCAT2(a, b)

#define TRY(expr)                                                       \
  do {                                                                  \
    if (auto try_result_ = (expr); !try_result_) [[unlikely]]           \
      return ::amberfs::fail(std::move(try_result_).error());           \
  } while (false)

#define TRY_ASSIGN_IMPL(tmp, decl, expr)                                \
  auto tmp = (expr);                                                    \
  if (!tmp) [[unlikely]] return ::amberfs::fail(std::move(tmp).error()); \
  decl = *std::move(tmp)

#define TRY_ASSIGN(decl, expr) \
  TRY_ASSIGN_IMPL(AMBERFS_CONCAT(try_assign_, __LINE__), decl, expr)
