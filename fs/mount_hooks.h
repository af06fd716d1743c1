// SPDX-License-Identifier: Apache-2.0
// MountHooks: what the engine and the commands need from a mounted kernel. fs/fuse implements it;
// an unmounted store has none (nullptr), and then there are no caches to care for.
// Threads: any thread that serves no FUSE request (these calls wait for requests to be served).
#pragma once

#include "snapshot/record_format.h"

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace amberfs {

struct OpenFileUser {
  std::string path;     // relative to the mount
  std::string command;  // "rsyslogd"
  std::uint32_t pid = 0;
};

// Who watches over the server, and what it may ask of it.
struct Supervision {
  pid_t keeper_pid = 0;    // 0: nobody
  std::uint32_t life = 1;  // servers this mount has had
  std::string binary;      // that serves
  std::string last_death;  // how the one before ended; ""
  // Asks for another server from this binary, and begins to make way for it.
  std::function<Status(const std::string& binary)> hand_over;
};

class MountHooks {
 public:
  virtual ~MountHooks() = default;
  // Brings every dirty page that the kernel holds down to the journal.
  [[nodiscard]] virtual Status flush_kernel() = 0;
  // Runs `change`, which gives the files `inos` another content or size, in such a way that no
  // program's bytes fall between: the kernel's dirty pages of these files are written out first,
  // writers to them are held back while `change` runs, and afterwards the kernel takes over the new
  // size and drops its cached pages, so that who has the file open reads the new bytes.
  [[nodiscard]] virtual Status change_files(const std::vector<Ino>& inos,
                                            const std::function<Status()>& change) = 0;
  // A name in a directory now means something else (or nothing).
  virtual void invalidate_name(Ino directory, ByteView name) = 0;
  // Attributes (and pages) of an inode changed behind the kernel's back.
  virtual void invalidate_inode(Ino ino) = 0;
  // Who holds files of the live tree open, as far as /proc tells.
  [[nodiscard]] virtual std::vector<OpenFileUser> open_file_users() = 0;
  [[nodiscard]] virtual std::string mount_point() const = 0;
  // Between the two the kernel may come to hold what is no longer so: a server that is killed then
  // has a successor that refreshes its caches. See StaleCaches.
  virtual void begin_change() {}
  virtual void end_change() {}
  [[nodiscard]] virtual const Supervision& supervision() const {
    static const Supervision nobody;
    return nobody;
  }
};

// For the time of a change behind the kernel's back, up to the last invalidation.
class StaleCaches {
 public:
  explicit StaleCaches(MountHooks* hooks) : hooks_(hooks) {
    if (hooks_ != nullptr) hooks_->begin_change();
  }
  ~StaleCaches() {
    if (hooks_ != nullptr) hooks_->end_change();
  }
  StaleCaches(const StaleCaches&) = delete;
  StaleCaches& operator=(const StaleCaches&) = delete;

 private:
  MountHooks* const hooks_;
};

}  // namespace amberfs
