// SPDX-License-Identifier: Apache-2.0
#include "fs/audit_log.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/flat_json.h"
#include "blockstore/base/hash.h"
#include "blockstore/base/log.h"
#include "snapshot/manifest.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <vector>

namespace amberfs {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLineMax = 256 * kKiB;
constexpr std::string_view kContext = "amberfs audit line";

std::string hash_of(ByteView line) {
  const Sha256 digest = sha256(line);
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Bytes context_of(std::uint64_t sequence) {
  return Bytes(kContext) + std::to_string(sequence);
}

// The one place where a line is made or read. In an encrypted store all but the sequence and the
// hash is sealed. Else the line has a checksum: for the last one, no line behind it vouches.
std::string encode_line(const Json& line, const Sealer* sealer) {
  if (sealer == nullptr) {
    Json summed = line;
    summed["checksum"] = hash_of(dump(line));
    return dump(summed);
  }
  const auto sequence = line.value("sequence", std::uint64_t{0});
  return dump({{"sequence", sequence},
               {"previous", line.value("previous", "")},
               {"sealed", to_hex(sealer->seal(context_of(sequence), dump(line)))}});
}

bool has_valid_members(const Json& line) {
  if (!line.is_object()) return false;
  for (const char* member : {"event", "time", "previous"}) {
    const auto it = line.find(member);
    if (it == line.end() || !it->is_string()) return false;
  }
  for (const char* member : {"sequence", "time_ns"}) {
    const auto it = line.find(member);
    if (it == line.end() || !it->is_number_integer()) return false;
  }
  const auto durable = line.find("durable");
  return durable == line.end() || durable->is_number_unsigned();
}

// Takes the checksum out. Lines of older programs have none.
bool has_valid_checksum(Json& line) {
  const auto it = line.find("checksum");
  if (it == line.end()) return true;
  const Json checksum = std::move(*it);
  line.erase(it);
  return checksum == hash_of(dump(line));
}

bool has_checksum(ByteView text) {
  return parse_flat_json(text).contains("checksum");
}

// A discarded value for what is no line of a log of this kind.
Json decode_line(ByteView text, const Sealer* sealer) {
  const Json nothing(Json::value_t::discarded);
  Json line = parse_flat_json(text);
  if (!line.is_object()) return nothing;
  if (sealer != nullptr) {
    const auto sealed = line.find("sealed");
    if (sealed == line.end() || !sealed->is_string()) return nothing;
    const auto& hex = sealed->get_ref<const std::string&>();
    Bytes bytes(hex.size() / 2, '\0');
    if (!from_hex(hex, reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size())) return nothing;
    const auto number = line.find("sequence");
    if (number == line.end() || !number->is_number_unsigned()) return nothing;
    const auto plain = sealer->open(context_of(number->get<std::uint64_t>()), bytes);
    if (!plain) return nothing;
    line = parse_flat_json(*plain);
  } else if (!has_valid_checksum(line)) {
    return nothing;
  }
  return has_valid_members(line) ? line : nothing;
}

struct LogEnd {
  AuditPosition position;
  std::uint64_t sequence = 0;
  std::int64_t time_ns = 0;
  std::uint64_t durable = 0;
};

struct EndLine {
  std::uint64_t offset = 0;
  ByteView text;
  Json json;  // discarded: it is none
};

// `end`: the last bytes of the log, from `from` on.
std::vector<EndLine> split_end(ByteView end, std::uint64_t from, const Sealer* sealer) {
  std::vector<EndLine> lines;
  std::size_t begin = from == 0 ? 0 : end.find('\n') + 1;  // a part of a line comes first
  for (std::size_t stop = 0; (stop = end.find('\n', begin)) != ByteView::npos; begin = stop + 1) {
    EndLine line{.offset = from + begin, .text = end.substr(begin, stop - begin)};
    line.json = decode_line(line.text, sealer);
    lines.push_back(std::move(line));
  }
  return lines;
}

LogEnd look_at_end(ByteView end, std::uint64_t from, const Sealer* sealer) {
  const std::vector<EndLine> lines = split_end(end, from, sealer);
  LogEnd found;
  for (const EndLine& line : lines) {
    if (line.json.is_discarded()) continue;
    found.durable = std::max(found.durable, line.json.value("durable", std::uint64_t{0}));
  }
  found.position.size = lines.empty() ? from : lines.front().offset;
  for (const EndLine& line : lines) {
    if (line.json.is_discarded() && line.offset >= found.durable) break;
    found.position = {line.offset + line.text.size() + 1, hash_of(line.text)};
    ++found.sequence;
    if (line.json.is_discarded()) continue;
    found.sequence = line.json["sequence"].get<std::uint64_t>();
    found.time_ns = line.json["time_ns"].get<std::int64_t>();
  }
  return found;
}

thread_local std::optional<Actor> thread_actor;

std::string command_of(std::uint32_t pid) {
  std::ifstream comm(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(comm, name);
  return name;
}

}  // namespace

Actor current_actor() {
  if (thread_actor) return *thread_actor;
  const auto pid = static_cast<std::uint32_t>(::getpid());
  return {::geteuid(), ::getegid(), pid, command_of(pid)};
}

Actor actor_of_peer(int socket_fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  const auto pid = static_cast<std::uint32_t>(peer.pid);
  return {peer.uid, peer.gid, pid, command_of(pid)};
}

ActorScope::ActorScope(Actor actor) : before_(std::exchange(thread_actor, std::move(actor))) {}

ActorScope::~ActorScope() {
  thread_actor = std::move(before_);
}

Result<std::unique_ptr<AuditLog>> AuditLog::open(Io& io, const std::string& path,
                                                 const Sealer* sealer) {
  std::unique_ptr<AuditLog> log(new AuditLog(io, path, sealer));
  TRY_ASSIGN(const bool there, io.exists(path));
  if (!there) return log;
  MutexLock lock(log->mu_);
  TRY_ASSIGN(log->file_, io.open(path, OpenMode::kReadWrite));
  TRY(log->read_end());
  return log;
}

AuditLog::~AuditLog() {
  if (Status synced = sync(); !synced) {
    log_error("close the audit log: {}", synced.error().to_string());
  }
}

// The last line says how the next one goes on. A loss of power leaves of what was not synced any
// part: from the first line on that is none it is put aside, unless a line says that its place had
// been durable. Then it is damage, which stays where it is: that, and whether the lines go on from
// each other, is for check_audit_log() to find.
Status AuditLog::read_end() {
  TRY_ASSIGN(const std::uint64_t size, file_->size());
  const std::uint64_t from = size - std::min<std::uint64_t>(size, 2 * kLineMax);
  Bytes end(size - from, '\0');
  TRY(file_->pread_exact(end.data(), end.size(), from));
  const LogEnd log_end = look_at_end(end, from, sealer_);
  position_ = log_end.position;
  sequence_ = log_end.sequence;
  opened_at_ns_ = log_end.time_ns;
  durable_ = log_end.durable;
  if (position_.size == size) return ok();
  return put_aside_torn(position_.size, size);
}

Status AuditLog::put_aside_torn(std::uint64_t whole, std::uint64_t size) {
  Bytes torn(size - whole, '\0');  // at most what read_end() looked at
  TRY(file_->pread_exact(torn.data(), torn.size(), whole));
  const std::string aside = fmt::format("{}.torn-{}", path_, format_time(now_ns()));
  TRY(io_.replace_file(aside, torn));
  TRY(file_->truncate(whole));
  log_warning(
      "audit log: its last {} bytes are no valid lines, torn by a crash or changed: put aside as "
      "{}",
      size - whole, aside);
  return append_locked("audit_log_torn", current_actor(),
                       {{"torn_bytes", size - whole}, {"file", aside}});
}

Status AuditLog::append(std::string_view event, const Actor& who, const Json& details) {
  MutexLock lock(mu_);
  return append_locked(event, who, details);
}

Status AuditLog::append_locked(std::string_view event, const Actor& who, const Json& details) {
  if (failed_) {
    return fail(Errc::kBroken, 0, "append to the audit log: a write before failed; mount anew",
                path_);
  }
  if (!file_) {
    TRY_ASSIGN(file_, io_.open(path_, OpenMode::kCreateOrOpen));
    TRY(io_.sync_directory(path_.substr(0, path_.find_last_of('/'))));
  }
  Json line = details.is_object() ? details : Json::object();
  const std::int64_t now = now_ns();
  line.update({{"sequence", sequence_ + 1},
               {"time", format_time(now)},
               {"time_ns", now},
               {"durable", durable_},
               {"event", event},
               {"uid", who.uid},
               {"gid", who.gid},
               {"pid", who.pid},
               {"command", who.command},
               {"previous", position_.hash}});
  Bytes text = encode_line(line, sealer_);
  if (text.size() >= kLineMax) {
    return fail(Errc::kBadRequest, 0,
                fmt::format("append {} bytes to the audit log: too long", text.size()), path_);
  }
  const std::string hash = hash_of(text);
  text += '\n';
  if (Status written = file_->pwrite(text, position_.size); !written) {
    // For want of room nothing is lost: the next one is written over what there is of this one.
    if (written.error().code == Errc::kNoSpace) {
      if (Status cut = file_->truncate(position_.size); !cut) failed_ = true;
    } else {
      failed_ = true;
    }
    return written;
  }
  position_ = {position_.size + text.size(), hash};
  ++sequence_;
  dirty_ = true;
  return ok();
}

Status AuditLog::sync() {
  MutexLock lock(mu_);
  if (!file_ || !dirty_) return ok();
  if (failed_) return fail(Errc::kBroken, 0, "sync the audit log: it failed before", path_);
  dirty_ = false;
  Status synced = file_->sync_data();
  if (!synced) {
    failed_ = true;
  } else {
    durable_ = position_.size;
  }
  return synced;
}

AuditPosition AuditLog::position() {
  MutexLock lock(mu_);
  return position_;
}

namespace {

// Lines of a file, read in pieces.
class LineChecker {
 public:
  LineChecker(const Sealer* sealer, const AuditLineVisitor& visit, const AuditPositionVisitor& at)
      : sealer_(sealer), visit_(visit), at_(at) {}

  void line(ByteView text) {
    const std::uint64_t offset = check_.position.size;
    const Json line = decode_line(text, sealer_);
    if (line.is_discarded()) {
      found(offset, text.size() + 1, "is no line of the audit log");
    } else {
      if (line["previous"] != check_.position.hash) {
        found(offset, text.size() + 1,
              "does not go on from the line before: a line was changed, removed or put in");
      } else if (line["sequence"] != sequence_ + 1 && !damaged_before_) {
        found(offset, text.size() + 1, "does not have the number that comes next");
      }
      sequence_ = line["sequence"].get<std::uint64_t>();
      const bool summed = sealer_ == nullptr && has_checksum(text);
      if (has_checksum_ && !summed) {
        found(offset, text.size() + 1, "has no checksum, and those before it have one");
      }
      has_checksum_ |= summed;
      if (visit_) visit_(line);
    }
    damaged_before_ = line.is_discarded();
    check_.position = {offset + text.size() + 1, hash_of(text)};
    ++check_.lines;
    if (at_) at_(check_.position);
  }
  void found(std::uint64_t offset, std::uint64_t size, std::string what) {
    constexpr std::size_t kFindingsMax = 1000;
    if (check_.findings.size() < kFindingsMax) {
      check_.findings.push_back({offset, size, std::move(what)});
    }
  }
  AuditCheck take() { return std::move(check_); }

 private:
  const Sealer* const sealer_;
  const AuditLineVisitor& visit_;
  const AuditPositionVisitor& at_;
  AuditCheck check_;
  std::uint64_t sequence_ = 0;
  bool damaged_before_ = false;
  bool has_checksum_ = false;  // a line before has one
};

}  // namespace

Result<AuditCheck> check_audit_log(Io& io, const std::string& path, const Sealer* sealer,
                                   const AuditLineVisitor& visit, const AuditPositionVisitor& at) {
  LineChecker checker(sealer, visit, at);
  TRY_ASSIGN(const bool there, io.exists(path));
  if (!there) return checker.take();
  TRY_ASSIGN(const auto file, io.open(path, OpenMode::kRead));
  Bytes buffer;
  TRY_ASSIGN(const std::uint64_t size, file->size());
  Bytes piece(std::min<std::uint64_t>(1 * kMiB, size + 1), '\0');
  std::uint64_t offset = 0;  // of what is read next
  while (true) {
    TRY_ASSIGN(const std::size_t got, file->pread_some(piece.data(), piece.size(), offset));
    if (got == 0) break;
    offset += got;
    buffer.append(piece, 0, got);
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = buffer.find('\n', begin)) != Bytes::npos; begin = end + 1) {
      checker.line(ByteView(buffer).substr(begin, end - begin));
    }
    buffer.erase(0, begin);
    if (buffer.size() > kLineMax) break;
  }
  if (!buffer.empty()) checker.found(offset - buffer.size(), buffer.size(), "is no whole line");
  return checker.take();
}

}  // namespace amberfs
