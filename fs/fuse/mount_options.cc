// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_mount.h"

#include <algorithm>
#include <string_view>

namespace amberfs {
namespace {

constexpr std::string_view kSnapshotsOption = "snapshots=";

using Words = std::initializer_list<std::string_view>;

bool is_one_of(std::string_view word, Words words) {
  return std::ranges::find(words, word) != words.end();
}

bool begins_with_one_of(std::string_view word, Words prefixes) {
  return std::ranges::any_of(prefixes, [&](auto prefix) { return word.starts_with(prefix); });
}

// For the kernel and libfuse: passed on as they are.
bool is_passed_on(std::string_view word) {
  return is_one_of(word, {"atime", "noatime", "suid", "nosuid", "dev", "nodev", "exec", "noexec",
                          "sync", "async", "dirsync"}) ||
         begins_with_one_of(word,
                            {"max_read=", "context=", "fscontext=", "defcontext=", "rootcontext="});
}

// For mount(8) and systemd, which leave them in the text.
bool is_for_others(std::string_view word) {
  return word.empty() ||
         is_one_of(word, {"defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser",
                          "users", "owner", "group"}) ||
         begins_with_one_of(word, {"x-", "comment="});
}

Status take_option(std::string_view word, MountOptions& options) {
  if (word == "ro" || word == "rw") {
    options.read_only = word == "ro";
  } else if (word == "show_snapshots") {
    options.show_snapshots = true;
  } else if (word.starts_with(kSnapshotsOption)) {
    options.snapshots_for = parse_snapshots_for(word.substr(kSnapshotsOption.size()));
    if (!options.snapshots_for) {
      return fail(Errc::kBadRequest, 0, "mount options: snapshots is all, root or none",
                  std::string(word));
    }
  } else if (word == "allow_other") {
    options.allow_other = true;
    if (std::ranges::find(options.extra, "allow_other") == options.extra.end()) {
      options.extra.emplace_back("allow_other");
    }
  } else if (word == "noresend") {
    options.resend = false;
  } else if (word == "debug") {
    options.debug = true;
  } else if (is_passed_on(word)) {
    options.extra.emplace_back(word);
  } else if (word != "default_permissions" && !is_for_others(word)) {  // that one is always on
    return fail(Errc::kBadRequest, 0,
                "mount options: not known (there are: ro, rw, show_snapshots, "
                "snapshots=all|root|none, allow_other, "
                "noatime, nosuid, nodev, noexec, sync, dirsync, max_read=BYTES, debug)",
                std::string(word));
  }
  return ok();
}

}  // namespace

Status parse_mount_options(const std::string& text, MountOptions& options) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    TRY(take_option(rest.substr(0, comma), options));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return ok();
}

Status check_tells_nothing(const MountOptions& options, bool encrypted) {
  if (!options.debug || !encrypted) return ok();
  return fail(Errc::kBadRequest, 0,
              "mount options: debug writes the names of files down in clear, and this store is "
              "encrypted",
              "debug");
}

}  // namespace amberfs
