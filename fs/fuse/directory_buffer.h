// SPDX-License-Identifier: Apache-2.0
// DirectoryBuffer: the reply to readdir and readdirplus. Two names may have one cookie, and a
// reader goes on behind a cookie: such names come together or not at all, and all but the last of
// them say "go on before us": a reader that stops between them sees one twice rather than never.
// Threads: one.
// Owns:    the bytes of the reply.
#pragma once

#define FUSE_USE_VERSION 314
#include "fs/fuse/node_id.h"

#include <fuse_lowlevel.h>

#include <vector>

namespace amberfs {

struct ListedName {
  Bytes name;
  NodeId node = 0;
  std::uint8_t type = 0;
  std::uint64_t cookie = 0;
};

class DirectoryBuffer {
 public:
  DirectoryBuffer(fuse_req_t request, std::size_t size_max, std::uint64_t after,
                  bool with_attributes)
      : request_(request), size_max_(size_max), before_(after), plus_(with_attributes) {}

  // Names in cookie order. False: full; go on with a later request.
  [[nodiscard]] bool add(ListedName name);
  // What fits, with `describe` asked for the attributes of each name (readdirplus).
  template <class Describe>
  [[nodiscard]] ByteView finish(const Describe& describe) {
    if (!full_) whole_ = names_.size();
    for (std::size_t i = 0; i < whole_; ++i) {
      const ListedName& name = names_[i];
      const bool last_of_cookie = i + 1 == whole_ || names_[i + 1].cookie != name.cookie;
      put(name, last_of_cookie ? name.cookie : before_, describe);
      if (last_of_cookie) before_ = name.cookie;
    }
    return bytes_;
  }

 private:
  [[nodiscard]] std::size_t size_of(const ListedName& name) const;
  template <class Describe>
  void put(const ListedName& name, std::uint64_t go_on, const Describe& describe) {
    const std::size_t begin = bytes_.size();
    bytes_.resize(begin + size_of(name));
    fuse_entry_param entry{};
    entry.attr.st_ino = name.node;
    entry.attr.st_mode = mode_t{name.type} << 12;
    if (!plus_) {
      fuse_add_direntry(request_, bytes_.data() + begin, bytes_.size() - begin, name.name.c_str(),
                        &entry.attr, static_cast<off_t>(go_on));
      return;
    }
    if (name.name != "." && name.name != "..") describe(name, entry);
    fuse_add_direntry_plus(request_, bytes_.data() + begin, bytes_.size() - begin,
                           name.name.c_str(), &entry, static_cast<off_t>(go_on));
  }

  fuse_req_t request_;
  const std::size_t size_max_;
  std::uint64_t before_;  // the cookie in front of the next name
  const bool plus_;
  std::vector<ListedName> names_;
  std::size_t whole_ = 0;  // names that are sure to be in the reply
  std::size_t used_ = 0;
  bool full_ = false;
  Bytes bytes_;
};

}  // namespace amberfs
