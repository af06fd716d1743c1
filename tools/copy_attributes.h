// SPDX-License-Identifier: Apache-2.0
// What CopyOut gives a copy besides its bytes: owner, extended attributes, mode, times, as the
// snapshot has them. Without root, owners stay one's own, and with them go the bits that would run
// a program as somebody else; foreign attributes are left out.
// Safety:  by descriptors, so that nothing else can be put in the place of what was made.
// Threads: any, each with its own Session.
// Errors:  of the system call that failed, with its errno and the path in the snapshot.
#pragma once

#include "tools/session.h"

#include <string>

namespace amberfs::tools {

// errno as an error of the copy at `path`. Always kIo: the advice of kNoSpace and its like is about
// the store's disk, and this is another place.
[[nodiscard]] std::unexpected<Error> copy_failed(const char* tried, const Bytes& path);

// `stat`: the reply to "stat". Of an open file or directory; times come last, so that nothing that
// is done here changes them.
[[nodiscard]] Status copy_attributes(Session& session, const std::string& view, const Bytes& path,
                                     const Json& stat, int fd);
// Of a symlink, device or such: `fd` is open with O_PATH.
[[nodiscard]] Status copy_special_attributes(Session& session, const std::string& view,
                                             const Bytes& path, const Json& stat, int fd);

}  // namespace amberfs::tools
