// SPDX-License-Identifier: Apache-2.0
// KernelHooks: MountHooks for a mount of this process.
// Flow:    engine, restore → KernelHooks → Notifier | FileChange | the mount point.
// Threads: as MountHooks: any thread that serves no request. The caller holds no lock that requests
//          need (FileSystem::names_mutex(), a Mutation): else kernel and server wait for each
//          other.
// Owns:    nothing; borrows the edge and the notifier.
#pragma once

#include "fs/fuse/fuse_edge.h"
#include "fs/fuse/notifier.h"

#include <atomic>

namespace amberfs {

class KernelHooks final : public MountHooks {
 public:
  KernelHooks(Edge& edge, Notifier& notifier, const Supervision& supervision)
      : edge_(edge), notifier_(notifier), supervision_(supervision) {}

  [[nodiscard]] Status flush_kernel() override;
  // All files, open or not, are held while `change` runs if they are few; else only the open ones.
  [[nodiscard]] Status change_files(const std::vector<Ino>& inos,
                                    const std::function<Status()>& change) override;
  void invalidate_name(Ino directory, ByteView name) override;
  // A regular file that is not in use is forgotten, as the kernel never takes over a size else; of
  // one that is in use the kernel is told the size, too.
  void invalidate_inode(Ino ino) override;
  [[nodiscard]] std::vector<OpenFileUser> open_file_users() override;
  [[nodiscard]] std::string mount_point() const override { return edge_.place.path; }
  void begin_change() override;
  void end_change() override;
  [[nodiscard]] const Supervision& supervision() const override { return supervision_; }

 private:
  [[nodiscard]] Status change_held(const std::vector<Ino>& inos,
                                   const std::function<Status()>& change);

  Edge& edge_;
  Notifier& notifier_;
  const Supervision& supervision_;
  Mutex change_mu_;              // one change of files at a time
  std::atomic<int> changes_{0};  // begun and not ended
};

// Writes out the kernel's dirty pages, so that what programs wrote is in the journal a second later
// also when nobody asks. Nothing is opened while no file is open for writing, so a mount that is
// not in use can be unmounted at any instant.
class PageTimer {
 public:
  explicit PageTimer(Edge& edge) : edge_(edge) {}
  ~PageTimer() { stop(); }
  void start();
  void stop();

 private:
  void run();

  Edge& edge_;
  Mutex mu_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace amberfs
