// SPDX-License-Identifier: Apache-2.0
// A small store with everything a store can have in it, for the bit-flip campaign to damage, and
// what reading it back gives: whether each byte is the one that was written.
// Threads: one.
// Errors:  those of making it end the process; those of reading it are what is looked for.
#pragma once

#include "fs/engine.h"

#include <map>
#include <string>

namespace amberfs::bitflip {

using Tree = std::map<std::string, Bytes>;     // name → content
using Expected = std::map<std::string, Tree>;  // snapshot's name, or "live"

// Some snapshots, one forgotten; sealed packs with parity, and an open one; the newest changes in
// the journal, durable, as a kill leaves them; evidence of a truncation; a line in the audit log.
[[nodiscard]] Expected make_store(const std::string& store, bool encrypted);

// As a command does it: config, key slots, engine. Nothing is left running after an error.
[[nodiscard]] Result<std::unique_ptr<Engine>> open_store(Io& io, const std::string& store);

struct ReadBack {
  bool wrong = false;   // a byte, a size or a name is not what was written, and no error says so
  bool failed = false;  // something cannot be read
  bool behind = false;  // the live tree is an earlier one: without some of the newest changes
};
[[nodiscard]] ReadBack read_all(Engine& engine, const Expected& expected);

// What `amberfs verify --full` answers: true when all is well; an error when it stops.
[[nodiscard]] Result<bool> is_verified(Engine& engine);

void must(const Status& status);
// No outcome of a try: where it cannot go on, there is something wrong with the campaign, or the
// program.
constexpr int kGaveUp = 70;
[[noreturn]] void give_up(const Error& error);

template <class T>
T must(Result<T> result) {
  if (!result) give_up(result.error());
  return *std::move(result);
}

}  // namespace amberfs::bitflip
