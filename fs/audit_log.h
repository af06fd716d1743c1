// SPDX-License-Identifier: Apache-2.0
// AuditLog: STORE/audit.log: who did what to the store, one JSON object a line, appended only. Each
// line holds the SHA-256 of the line before, so a line that is changed, added or removed in the
// middle is seen; each snapshot's manifest holds the size and the last hash (position()), so a
// shortened or rewritten log is seen as well, as far as snapshots go.
// Durability: a line is written at once, and on the disk after sync(). What a crash tears is put
//             aside as audit.log.torn-TIME, and a line says so. Each line says how much of the log
//             was durable when it was written: what is bad there is damage, and stays.
// Growth:     some 400 bytes a line; nothing is ever dropped.
// Format:     docs/format/audit.md.
// Threads:    every method from any thread.
// Owns:       the file. Borrows Io and the sealer, which may be null: a plain store.
// Errors:     of Io. check_audit_log() gives findings, not errors, for what is wrong in the file.
#pragma once

#include "blockstore/base/cipher.h"
#include "blockstore/base/io.h"
#include "blockstore/base/mutex.h"

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace amberfs {

// Who asked for something.
struct Actor {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t pid = 0;
  std::string command;
};
// Whom the calling thread works for: this process, unless an ActorScope says otherwise.
[[nodiscard]] Actor current_actor();
// The peer of a Unix socket.
[[nodiscard]] Actor actor_of_peer(int socket_fd);

class ActorScope {
 public:
  explicit ActorScope(Actor actor);
  ~ActorScope();
  ActorScope(const ActorScope&) = delete;
  ActorScope& operator=(const ActorScope&) = delete;

 private:
  std::optional<Actor> before_;
};

struct AuditPosition {
  std::uint64_t size = 0;  // of the log in bytes; 0: there is none
  std::string hash;        // of its last line, as the next line will hold it
};

class AuditLog {
 public:
  [[nodiscard]] static Result<std::unique_ptr<AuditLog>> open(Io& io, const std::string& path,
                                                              const Sealer* sealer);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // `details`: an object whose members stand in the line beside time, event and actor.
  [[nodiscard]] Status append(std::string_view event, const Actor& who,
                              const nlohmann::json& details);
  [[nodiscard]] Status sync();
  [[nodiscard]] AuditPosition position();
  // When the last line that was there at open() was written; 0: there was none.
  [[nodiscard]] std::int64_t opened_at_ns() const { return opened_at_ns_; }

 private:
  AuditLog(Io& io, std::string path, const Sealer* sealer)
      : io_(io), path_(std::move(path)), sealer_(sealer) {}
  [[nodiscard]] Status read_end() REQUIRES(mu_);
  [[nodiscard]] Status put_aside_torn(std::uint64_t whole, std::uint64_t size) REQUIRES(mu_);
  [[nodiscard]] Status append_locked(std::string_view event, const Actor& who,
                                     const nlohmann::json& details) REQUIRES(mu_);

  Io& io_;
  const std::string path_;
  const Sealer* const sealer_;
  std::int64_t opened_at_ns_ = 0;
  Mutex mu_;
  std::unique_ptr<File> file_ GUARDED_BY(mu_);  // null until the first line
  AuditPosition position_ GUARDED_BY(mu_);
  std::uint64_t sequence_ GUARDED_BY(mu_) = 0;  // of the last line
  std::uint64_t durable_ GUARDED_BY(mu_) = 0;   // bytes that a sync made durable, as lines say
  bool dirty_ GUARDED_BY(mu_) = false;
  bool failed_ GUARDED_BY(mu_) = false;  // a write or sync failed: nothing is appended behind it
};

struct AuditFinding {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::string what;
};

struct AuditCheck {
  std::vector<AuditFinding> findings;
  AuditPosition position;
  std::uint64_t lines = 0;
};
// Walks the whole log: each line that is one goes to `visit`, which may be empty; `at` is told the
// position behind each line. A log that is not there is an empty one.
using AuditLineVisitor = std::function<void(const nlohmann::json& line)>;
using AuditPositionVisitor = std::function<void(const AuditPosition& position)>;
[[nodiscard]] Result<AuditCheck> check_audit_log(Io& io, const std::string& path,
                                                 const Sealer* sealer,
                                                 const AuditLineVisitor& visit,
                                                 const AuditPositionVisitor& at);

}  // namespace amberfs
