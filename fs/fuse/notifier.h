// SPDX-License-Identifier: Apache-2.0
// Notifier: what the server tells the kernel unasked.
// Threads: every method from any thread that serves no request: the kernel may wait for locks that
//          only answered requests give back, and write out pages.
// Owns:    nothing; borrows the session from attach() to detach(), which waits for calls under way.
//          Unattached, every call does nothing.
#pragma once

#include "blockstore/base/mutex.h"
#include "blockstore/base/result.h"
#include "snapshot/record_format.h"

struct fuse_session;

namespace amberfs {

class Notifier {
 public:
  void attach(fuse_session* session);
  void detach();

  // Drops attributes and cached pages. False when the kernel does not know the inode.
  bool invalidate_inode(Ino ino);
  // The kernel asks for the attributes before it uses them again; pages stay. The one call that a
  // thread that serves a request may make: nothing is locked or written for it.
  void make_attributes_stale(Ino ino);
  void invalidate_name(Ino directory, ByteView name);
  // Makes the kernel's size at least offset + 1, whose byte is `byte`. A size never shrinks so.
  [[nodiscard]] Status store_byte(Ino ino, std::uint64_t offset, char byte);

 private:
  SharedMutex mu_;
  fuse_session* session_ GUARDED_BY(mu_) = nullptr;
};

}  // namespace amberfs
