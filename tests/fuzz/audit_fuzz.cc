// SPDX-License-Identifier: Apache-2.0
// The audit log: any bytes are lines of it or findings. Opening it for more loses none: what is no
// whole line at its end stands in the file put aside. What is appended is there afterwards. Of the
// first byte:
//   bit 0  each line that is a JSON object holds the hash of the line before, and its own, so that
//          the fuzzer gets behind them
//   bit 1  of an encrypted store
//   bit 2  each line is sealed, as who has the key could do it
#include "fs/audit_log.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/right_sums.h"
#include "tests/support/memory_io.h"

#include <nlohmann/json.hpp>

namespace amberfs {
namespace {

using Json = nlohmann::json;
using fuzz::require;

const std::string kPath = "store/audit.log";

const Sealer& sealer() {
  // Never destroyed: OpenSSL may be gone before it at the end of the process.
  static const auto& sealer = *new Sealer(SecretBytes::copy_of(Bytes(kKeySize, 'T')).value());
  return sealer;
}

Bytes corrected(ByteView log, bool chained, bool sealed) {
  Bytes out;
  std::string previous;
  while (!log.empty()) {
    const std::size_t end = log.find('\n');
    Bytes line(log.substr(0, end));
    log.remove_prefix(end == ByteView::npos ? log.size() : end + 1);
    Json json = parse_flat_json(line);
    if (json.is_object()) {
      if (chained) json["previous"] = previous;
      line = fuzz::with_right_sums(fuzz::dump(json), {"checksum"});
    }
    const auto sequence = json.is_object() ? json.find("sequence") : json.end();
    if (sealed && json.is_object() && sequence != json.end() && sequence->is_number_unsigned()) {
      const Bytes context = "amberfs audit line" + std::to_string(sequence->get<std::uint64_t>());
      line = fuzz::dump({{"sequence", *sequence},
                         {"previous", json.value("previous", Json())},
                         {"sealed", to_hex(sealer().seal(context, line))}});
    }
    previous = fuzz::hash_of(line);
    out += line;
    if (end != ByteView::npos) out += '\n';
  }
  return out;
}

AuditCheck check(Io& io, const Sealer* with) {
  std::uint64_t lines = 0;
  const auto visit = [&](const Json& line) {
    // As those do who list events.
    const Json copy = line;
    require(!fuzz::dump(copy).empty() && copy["time_ns"].is_number_integer());
    ++lines;
  };
  auto checked = check_audit_log(io, kPath, with, visit, {});
  require(checked.has_value() && lines <= checked->lines);
  return *std::move(checked);
}

// The bytes of the log and of what was put aside.
Bytes all_bytes(testing::MemoryIo& io, std::size_t begin) {
  Bytes bytes = io.files().at(kPath)->substr(0, begin);
  for (const auto& [path, content] : io.files()) {
    if (path != kPath) bytes += *content;
  }
  return bytes;
}

void run(const Bytes& log, const Sealer* with) {
  testing::MemoryIo io;
  io.files()[kPath] = std::make_shared<Bytes>(log);
  const AuditCheck before = check(io, with);
  auto opened = AuditLog::open(io, kPath, with);
  require(opened.has_value());
  const std::size_t aside = io.files().size() - 1;
  require(aside <= 1);
  std::size_t torn = 0;
  for (const auto& [path, content] : io.files()) torn += path == kPath ? 0 : content->size();
  require(torn <= log.size() && all_bytes(io, log.size() - torn) == log);
  require((*opened)->append("mount", {.uid = 7}, {{"more", "details"}}).has_value());
  require((*opened)->sync().has_value());
  const AuditPosition position = (*opened)->position();
  require(position.size == io.files().at(kPath)->size());
  const AuditCheck after = check(io, with);
  require(after.position.size == position.size && after.position.hash == position.hash);
  if (before.findings.empty() && aside == 0) require(after.findings.empty());
  auto again = AuditLog::open(io, kPath, with);
  require(again && io.files().size() == 1 + aside);
  require((*again)->position().size == position.size);
}

Bytes made_log(const Sealer* with) {
  testing::MemoryIo io;
  auto log = AuditLog::open(io, kPath, with);
  require(log.has_value());
  for (const char* event : {"mount", "tampering", "rollback"}) {
    require((*log)
                ->append(event, {.uid = 1, .command = "sh"}, {{"path", "/a.log"}, {"number", 9}})
                .has_value());
    require((*log)->sync().has_value());
  }
  return *io.files().at(kPath);
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  const Bytes plain = made_log(nullptr);
  const Bytes sealed = made_log(&sealer());
  add('\0' + plain);
  add('\1' + plain);
  add('\2' + sealed);
  add('\3' + sealed);
  add('\7' + plain);
  add('\0' + plain + "{\"sequence\":4,\"prev");
  // What took a server down once.
  const Bytes line = R"({"event":"x","sequence":4,"time":"t","time_ns":5,"previous":"",)";
  add('\0' + plain + line + "\"durable\":9}\n");
  add('\0' + plain + line + "\"durable\":\"9\"}\n");
  add('\0' + line + "\"more\":" + Bytes(50'000, '[') + Bytes(50'000, ']') + "}\n");
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size == 0 || size > 512 * kKiB) return 0;
  const unsigned choice = data[0];
  const ByteView input = fuzz::as_bytes(data + 1, size - 1);
  const bool change = (choice & 5) != 0;
  const bool sealed = (choice & 6) == 6;
  run(change ? corrected(input, (choice & 1) != 0, sealed) : Bytes(input),
      (choice & 2) != 0 ? &sealer() : nullptr);
  return 0;
}
