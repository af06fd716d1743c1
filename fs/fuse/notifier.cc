// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/notifier.h"

#define FUSE_USE_VERSION 314
#include "fs/fuse/node_id.h"

#include <fuse_lowlevel.h>

namespace amberfs {

void Notifier::attach(fuse_session* session) {
  WriteLock lock(mu_);
  session_ = session;
}

void Notifier::detach() {
  WriteLock lock(mu_);
  session_ = nullptr;
}

bool Notifier::invalidate_inode(Ino ino) {
  ReadLock lock(mu_);
  if (session_ == nullptr) return false;
  return fuse_lowlevel_notify_inval_inode(session_, make_node(kLiveView, ino), 0, 0) == 0;
}

void Notifier::make_attributes_stale(Ino ino) {
  constexpr off_t kNoPages = -1;
  ReadLock lock(mu_);
  if (session_ == nullptr) return;
  // That the kernel does not know the inode is as good.
  fuse_lowlevel_notify_inval_inode(session_, make_node(kLiveView, ino), kNoPages, 0);
}

void Notifier::invalidate_name(Ino directory, ByteView name) {
  ReadLock lock(mu_);
  if (session_ == nullptr) return;
  // That the kernel does not know the name is as good.
  fuse_lowlevel_notify_inval_entry(session_, make_node(kLiveView, directory), name.data(),
                                   name.size());
}

Status Notifier::store_byte(Ino ino, std::uint64_t offset, char byte) {
  ReadLock lock(mu_);
  if (session_ == nullptr) return ok();
  fuse_bufvec buffer{};
  buffer.count = 1;
  buffer.buf[0].size = 1;
  buffer.buf[0].mem = &byte;
  buffer.buf[0].fd = -1;
  const int stored =
      fuse_lowlevel_notify_store(session_, make_node(kLiveView, ino), static_cast<off_t>(offset),
                                 &buffer, fuse_buf_copy_flags{});
  if (stored != 0) return fail(Errc::kIo, -stored, "tell the kernel a file's new size");
  return ok();
}

}  // namespace amberfs
