// SPDX-License-Identifier: Apache-2.0
// Mutexes with clang's thread-safety annotations (checked by the `clang` preset).
// Members say GUARDED_BY(mu_), functions say REQUIRES(mu_). The lock order of the whole program
// is in docs/ARCHITECTURE.md.
#pragma once

#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#if defined(__clang__)
#define AMBERFS_TS(x) __attribute__((x))
#else
#define AMBERFS_TS(x)
#endif
#define GUARDED_BY(x) AMBERFS_TS(guarded_by(x))
#define REQUIRES(...) AMBERFS_TS(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) AMBERFS_TS(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) AMBERFS_TS(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS AMBERFS_TS(no_thread_safety_analysis)

namespace amberfs {

class AMBERFS_TS(capability("mutex")) Mutex {
 public:
  void lock() AMBERFS_TS(acquire_capability()) { mu_.lock(); }
  void unlock() AMBERFS_TS(release_capability()) { mu_.unlock(); }

 private:
  std::mutex mu_;
};

class AMBERFS_TS(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mu) AMBERFS_TS(acquire_capability(mu)) : mu_(mu) { mu_.lock(); }
  ~MutexLock() AMBERFS_TS(release_capability()) { mu_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

class AMBERFS_TS(capability("shared_mutex")) SharedMutex {
 public:
  void lock() AMBERFS_TS(acquire_capability()) { mu_.lock(); }
  void unlock() AMBERFS_TS(release_capability()) { mu_.unlock(); }
  void lock_shared() AMBERFS_TS(acquire_shared_capability()) { mu_.lock_shared(); }
  void unlock_shared() AMBERFS_TS(release_shared_capability()) { mu_.unlock_shared(); }

 private:
  std::shared_mutex mu_;
};

class AMBERFS_TS(scoped_lockable) WriteLock {
 public:
  explicit WriteLock(SharedMutex& mu) AMBERFS_TS(acquire_capability(mu)) : mu_(mu) { mu_.lock(); }
  ~WriteLock() AMBERFS_TS(release_capability()) { mu_.unlock(); }
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;

 private:
  SharedMutex& mu_;
};

class AMBERFS_TS(scoped_lockable) ReadLock {
 public:
  explicit ReadLock(SharedMutex& mu) AMBERFS_TS(acquire_shared_capability(mu)) : mu_(mu) {
    mu_.lock_shared();
  }
  ~ReadLock() AMBERFS_TS(release_capability()) { mu_.unlock_shared(); }
  ReadLock(const ReadLock&) = delete;
  ReadLock& operator=(const ReadLock&) = delete;

 private:
  SharedMutex& mu_;
};

// Waits with a Mutex held: `while (!ready) cond.wait(mu);`
class CondVar {
 public:
  void wait(Mutex& mu) REQUIRES(mu) { cv_.wait(mu); }
  template <class Duration>
  bool wait_for(Mutex& mu, Duration d) REQUIRES(mu) {
    return cv_.wait_for(mu, d) == std::cv_status::no_timeout;
  }
  void notify_one() { cv_.notify_one(); }
  void notify_all() { cv_.notify_all(); }

 private:
  std::condition_variable_any cv_;
};

}  // namespace amberfs
