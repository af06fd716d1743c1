// SPDX-License-Identifier: Apache-2.0
// amberfs prove, check-proof: that a file held these bytes, shown to who has no store.
#include "fs/path_text.h"
#include "fs/proof.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/paths.h"
#include "tools/session.h"

#include <fmt/format.h>

#include <charconv>

namespace amberfs::tools {
namespace {

struct Range {
  std::uint64_t first = 0;  // line numbers, both included; 0: the whole file
  std::uint64_t last = 0;
};

Result<Range> parse_lines(const std::string& text) {
  Range range;
  if (text.empty()) return range;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, range.first);
  if (first.ec == std::errc() && first.ptr == end) range.last = range.first;
  if (first.ec == std::errc() && first.ptr != end && *first.ptr == '-') {
    const auto last = std::from_chars(first.ptr + 1, end, range.last);
    if (last.ec != std::errc() || last.ptr != end) range.last = 0;
  }
  if (range.first == 0 || range.last < range.first) {
    return fail(Errc::kBadRequest, 0, "prove: lines are A-B, from 1 on", text);
  }
  return range;
}

// Turns line numbers into the bytes [from, to) of a request to prove.
Status add_byte_range(Session& session, const Range& lines, Json& request) {
  Json read{{"command", "read"}, {"view", request["snap"]}, {"path", request["path"]}};
  std::uint64_t line = 1;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> from;
  if (lines.first == 1) from = 0;
  while (true) {
    read["offset"] = offset;
    TRY_ASSIGN(const auto answer, session.call(read));
    if (answer.payload.empty()) break;
    for (std::size_t at = answer.payload.find('\n'); at != Bytes::npos;
         at = answer.payload.find('\n', at + 1)) {
      ++line;
      if (line == lines.first) from = offset + at + 1;
      if (line != lines.last + 1) continue;
      request["from"] = *from;
      request["to"] = offset + at + 1;
      return ok();
    }
    offset += answer.payload.size();
  }
  // The last line may have no end.
  if (!from || *from >= offset) {
    return fail(Errc::kBadRequest, 0, fmt::format("prove: the file has no line {}", lines.first),
                request["path"].get<std::string>());
  }
  request["from"] = *from;
  request["to"] = offset;
  return ok();
}

Result<Bytes> fetch_proof(Session& session, Json request) {
  Bytes proof;
  while (true) {
    request["offset"] = proof.size();
    TRY_ASSIGN(const auto answer, session.call(request));
    proof += answer.payload;
    if (answer.payload.empty() || proof.size() >= answer.json.value("size", 0ULL)) return proof;
  }
}

Status write_out(const std::string& file, ByteView bytes) {
  if (file == "-") return print(bytes);
  return make_posix_io()->replace_file(file, bytes);
}

Result<int> run_prove(const std::string& target, const std::string& what, const std::string& lines,
                      const std::string& file, const Context& context) {
  const SnapPath where = split_snap_path(what);
  if (where.snap.empty() || where.path.empty()) {
    return fail(Errc::kBadRequest, 0, "prove SNAP:PATH: for example latest:/auth.log", what);
  }
  TRY_ASSIGN(const Range range, parse_lines(lines));
  TRY_ASSIGN(Session session, Session::open(target));
  // A name like latest may come to mean another snapshot meanwhile: the id does not.
  TRY_ASSIGN(const auto resolved, session.call({{"command", "resolve"}, {"snap", where.snap}}));
  const Json& snapshot = resolved.json["snapshot"];
  Json request{{"command", "prove"},
               {"snap", snapshot["id"]},
               {"path", to_request_path(where.path, session.mount_point())}};
  if (range.first != 0) TRY(add_byte_range(session, range, request));
  TRY_ASSIGN(const Bytes proof, fetch_proof(session, request));
  TRY(session.close());
  TRY(write_out(file, proof));
  if (file == "-") return kDone;
  if (context.json) {
    TRY(print(Json{{"file", file}, {"size", proof.size()}, {"snapshot", snapshot}}.dump() + "\n"));
    return kDone;
  }
  TRY(
      print(fmt::format("Wrote {}, {}. Who has it and the verification key checks it with:\n"
                        "amberfs check-proof {} --key KEY\n",
                        file, human_size(proof.size()), file)));
  return kDone;
}

Json to_json(const ProvedClaim& proved) {
  const InodeRecord& inode = proved.claim.inode;
  return {{"ok", true},
          {"path", "/" + encode_path(proved.claim.path)},
          {"from", proved.claim.offset},
          {"to", proved.claim.offset + proved.claim.size},
          {"file_size", inode.size_bytes},
          {"ino", proved.claim.ino},
          {"mode", inode.mode},
          {"uid", inode.uid},
          {"gid", inode.gid},
          {"mtime", {{"seconds", inode.mtime.seconds}, {"nanoseconds", inode.mtime.nanoseconds}}},
          {"snapshot",
           {{"id", proved.manifest.id},
            {"sequence", proved.manifest.sequence},
            {"time", format_time(proved.manifest.time_ns)},
            {"name", proved.manifest.name},
            {"reason", proved.manifest.reason}}},
          {"link", proved.link.number},
          {"head", ChainEnd::after(proved.link).to_text()}};
}

// Of an inode, whose maker may be hostile: any number of seconds.
std::string time_text(const Timestamp& time) {
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  if (std::abs(time.seconds / 2) > INT64_MAX / kNsPerSecond / 4) {
    return fmt::format("{} seconds after 1970", time.seconds);
  }
  return format_time(time.seconds * kNsPerSecond + time.nanoseconds);
}

Status print_proved(const ProvedClaim& proved) {
  const ProofClaim& claim = proved.claim;
  const Manifest& manifest = proved.manifest;
  return print(
      fmt::format("Proved: bytes {} to {} of /{}, which had {} bytes\n"
                  "  snapshot  {} at {}{}\n"
                  "  chain     link {} of the chain that begins with this key, {}\n"
                  "  file      inode {}, mode {:o}, uid {}, gid {}, changed {}\n"
                  "Times are those of the machine that took the snapshot.\n",
                  claim.offset, claim.offset + claim.size, encode_path(claim.path),
                  claim.inode.size_bytes, manifest.id.substr(0, 12), format_time(manifest.time_ns),
                  manifest.name.empty() ? "" : " named " + manifest.name, proved.link.number,
                  ChainEnd::after(proved.link).to_text(), claim.ino, claim.inode.mode & 07777U,
                  claim.inode.uid, claim.inode.gid, time_text(claim.inode.mtime)));
}

Result<int> run_check(const std::string& file, const std::string& key_or_file,
                      const std::string& out, const Context& context) {
  TRY_ASSIGN(const std::string key_text, read_key(key_or_file));
  const auto key = parse_public_key(key_text);
  if (!key) return fail(Errc::kBadRequest, 0, "check a proof: give the verification key");
  const auto io = make_posix_io(Links::kFollow);
  TRY_ASSIGN(const Bytes bytes, io->read_file(file, Proof::kFileMax));
  Bytes proven;
  const auto keep = [&](ByteView piece) -> Status {
    proven += piece;
    return ok();
  };
  const auto proved =
      check_proof(bytes, *key, out.empty() ? std::function<Status(ByteView)>() : keep);
  if (!proved) {
    if (proved.error().code != Errc::kCorrupt) return fail(proved.error());
    TRY(print(context.json ? Json{{"ok", false}, {"why", proved.error().tried}}.dump() + "\n"
                           : "NOT proved: " + proved.error().tried + "\n"));
    return kNo;
  }
  if (!out.empty()) TRY(write_out(out, proven));
  if (out == "-") return kDone;
  TRY(context.json ? print(to_json(*proved).dump() + "\n") : print_proved(*proved));
  return kDone;
}

}  // namespace

void add_prove(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("prove", "write a proof of what a file held in a snapshot");
  auto target = std::make_shared<std::string>();
  auto what = std::make_shared<std::string>();
  auto lines = std::make_shared<std::string>();
  auto file = std::make_shared<std::string>("proof.amber");
  command->add_option("TARGET", *target, "a store or a mounted directory")->required();
  command->add_option("SNAP:PATH", *what, "which file of which snapshot")->required();
  command->add_option("--lines", *lines,
                      "only lines A-B; the proof is of their bytes, it does not count lines");
  command->add_option("-o,--output", *file, "where to; - for standard output")
      ->capture_default_str();
  command->footer(
      "It holds the blocks that reading these bytes needs, and can be checked without the store.\n"
      "  amberfs prove /var/log latest:/auth.log --lines 120-130 -o auth.proof");
  add_json_flag(*command, context);
  set_run(*command, context,
          [=, &context] { return run_prove(*target, *what, *lines, *file, context); });
}

void add_check_proof(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("check-proof", "check a proof, without the store");
  auto file = std::make_shared<std::string>();
  auto key = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  command->add_option("FILE", *file, "what amberfs prove wrote")->required();
  command->add_option("--key", *key, "the verification key (amberfs-key:…), or a file with it")
      ->required();
  command->add_option("--out", *out, "write the proved bytes there; - for standard output");
  command->footer("Exit status 1 when it does not hold.");
  add_json_flag(*command, context);
  set_run(*command, context, [=, &context] { return run_check(*file, *key, *out, context); });
}

}  // namespace amberfs::tools
