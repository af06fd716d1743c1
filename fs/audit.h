// SPDX-License-Identifier: Apache-2.0
// Audit: what was done to the store and to its logs, told and kept: brings what Tampering found
// into the audit log, drops evidence that has been kept long enough, and lists both. Flow:
// Tampering → tick() → AuditLog;  commands → note() → AuditLog.
//             The map is the truth about evidence, the log about everything else: a line that a
//             crash took is written when the store is opened next.
// Durability: note() is on the disk when it returns; what tick() writes, at its end.
// Threads:    every method from any thread; tick() and open() by one.
// Owns:       the log. Borrows the rest.
// Errors:     a log that cannot be written stops nothing: it is logged, and problem() says so.
#pragma once

#include "fs/audit_log.h"
#include "fs/filesystem.h"

namespace amberfs {

struct EvidenceEntry {
  Ino number = kNoIno;
  Evidence evidence;
};
// All that is kept, by number.
[[nodiscard]] Result<std::vector<EvidenceEntry>> list_evidence(const View& view);

struct AuditCounts {
  std::uint64_t events = 0;          // tampering that is kept
  std::uint64_t last_day = 0;        // of it
  std::uint64_t since_snapshot = 0;  // of it
  std::uint64_t rotations = 0;
  std::uint64_t kept_bytes = 0;
};

class Audit {
 public:
  struct Parts {
    Io& io;
    LiveMap& live;
    FileSystem& filesystem;
    Tampering& tampering;
  };
  [[nodiscard]] static std::unique_ptr<Audit> open(const Parts& parts, const std::string& store,
                                                   const Sealer* sealer);

  // Something rare that was done: a mount, a rollback, a key that was added … `details`: members of
  // the line. The actor is current_actor().
  void note(std::string_view event, const nlohmann::json& details);
  // Lines for what Tampering found, and everything on the disk. With `may_drop` evidence that is
  // too old or too much is dropped, now and then: only where no lock is held.
  void tick(bool may_drop);
  // Of all that happened up to now: for a manifest.
  [[nodiscard]] AuditPosition position();

  [[nodiscard]] Result<AuditCounts> counts(std::int64_t snapshot_ns);
  // Events of the log and of the map from `since_ns` on, oldest first, at most `limit`: the newest.
  [[nodiscard]] Result<std::vector<nlohmann::json>> list(std::int64_t since_ns, std::size_t limit);
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const Sealer* sealer() const { return sealer_; }
  [[nodiscard]] std::string problem() EXCLUDES(mu_);  // "" when the log can be written

 private:
  Audit(const Parts& parts, std::string store, const Sealer* sealer);
  [[nodiscard]] Status write_missing_lines();
  void sync();
  void write(std::string_view event, const Actor& who, const nlohmann::json& details);
  void keep_result(const Status& status) EXCLUDES(mu_);
  void write_notices();
  [[nodiscard]] Status drop_old();

  const Parts parts_;
  const std::string store_;
  const std::string path_;
  const Sealer* const sealer_;
  std::unique_ptr<AuditLog> log_;  // null when it could not be opened
  std::int64_t next_drop_ns_ = 0;
  Mutex mu_;
  std::string problem_ GUARDED_BY(mu_);
};

// The members of an event that is evidence, as in the log and in replies.
[[nodiscard]] nlohmann::json to_json(Ino number, const Evidence& evidence);

}  // namespace amberfs
