// SPDX-License-Identifier: Apache-2.0
// Error: what failed, as a value that carries what was tried and on what.
// It becomes an errno only in fs/fuse and an exit code and text only in tools.
// Corruption is an Error, never an assertion: bytes from disk are input, not our own bugs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace amberfs {

enum class Errc : std::uint16_t {
#define X(name, errno_class, exit_code, advice) name,
#include "blockstore/base/errc.def"
#undef X
};

struct Error {
  Errc code = Errc::kIo;
  int sys_errno = 0;   // errno of the system call that failed; 0 when none did
  std::string tried;   // "append to journal"
  std::string object;  // "/var/lib/amberfs/journal/000000000007.wal"

  // The errno a program behind the mount gets: sys_errno if set, else the class of the code.
  [[nodiscard]] int to_errno() const;
  // 2 usage, 3 could not.
  [[nodiscard]] int exit_code() const;
  // "append to journal: /var/…/000000000007.wal: No space left on device. Free some space …"
  [[nodiscard]] std::string to_string() const;
};

[[nodiscard]] std::string_view errc_name(Errc code);   // "kNoSpace"
[[nodiscard]] std::string_view errc_advice(Errc code);
[[nodiscard]] std::optional<Errc> errc_from_name(std::string_view name);

// Chooses the Errc for a failed system call: ENOSPC/EDQUOT, EROFS and ENOMEM have codes of their
// own; everything else becomes `otherwise`.
[[nodiscard]] Errc errc_for(int sys_errno, Errc otherwise = Errc::kIo);

// A POSIX answer to a program (ENOENT, EEXIST, …): no site, no advice.
[[nodiscard]] inline Error posix_error(int sys_errno) {
  return Error{Errc::kPosix, sys_errno, {}, {}};
}

}  // namespace amberfs
