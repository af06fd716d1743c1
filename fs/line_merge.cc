// SPDX-License-Identifier: Apache-2.0
#include "fs/line_merge.h"

#include "fs/line_diff.h"

#include <algorithm>

namespace amberfs {
namespace {

// Bytes below space that text has: tab, line feed, form feed, carriage return, escape (colours).
bool is_damage_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r' && c != 0x1b;
}

bool has_damage(ByteView line) {
  return std::ranges::any_of(line, is_damage_byte);
}

class Merger {
 public:
  Merger(ByteView snapshot, ByteView live, const LineMergeOptions& options)
      : before_(split_lines(snapshot)), after_(split_lines(live)), options_(options) {
    // UTF-16 has a NUL in every line: where the good text has such bytes, they prove nothing.
    damage_shows_ = !has_damage(snapshot);
    result_.text.reserve(snapshot.size() + live.size());
  }

  LineMerge run() {
    std::size_t at = 0;
    for (const Hunk& hunk : diff_lines(before_, after_)) {
      for (; at < hunk.after_begin; ++at) append(after_[at]);
      for (std::size_t i = hunk.before_begin; i < hunk.before_end; ++i) restore(i, hunk);
      for (; at < hunk.after_end; ++at) keep(at, hunk);
    }
    for (; at < after_.size(); ++at) append(after_[at]);
    return std::move(result_);
  }

 private:
  void append(ByteView line) {
    // A last line without its end, in the middle now: it must not run into the next one.
    if (!result_.text.empty() && result_.text.back() != '\n') result_.text += '\n';
    result_.text += line;
  }

  void restore(std::size_t i, const Hunk& hunk) {
    // The snapshot was taken in the middle of this line; the live file has all of it.
    const bool unfinished = !before_[i].ends_with('\n');
    if (unfinished && hunk.after_begin < hunk.after_end &&
        after_[hunk.after_begin].starts_with(before_[i])) {
      return;
    }
    append(before_[i]);
    ++result_.lines_restored;
  }

  void keep(std::size_t j, const Hunk& hunk) {
    const bool in_place_of_lost = hunk.before_begin < hunk.before_end;
    if (options_.drop_damaged && in_place_of_lost && is_damaged(j, hunk)) {
      ++result_.damaged_lines_dropped;
      return;
    }
    append(after_[j]);
  }

  [[nodiscard]] bool is_damaged(std::size_t j, const Hunk& hunk) const {
    if (damage_shows_ && has_damage(after_[j])) return true;
    if (after_[j].ends_with('\n')) return false;
    for (std::size_t i = hunk.before_begin; i < hunk.before_end; ++i) {
      if (before_[i].size() > after_[j].size() && before_[i].starts_with(after_[j])) return true;
    }
    return false;
  }

  std::vector<ByteView> before_;
  std::vector<ByteView> after_;
  const LineMergeOptions options_;
  bool damage_shows_ = true;
  LineMerge result_;
};

}  // namespace

LineMerge merge_lines(ByteView snapshot, ByteView live, const LineMergeOptions& options) {
  return Merger(snapshot, live, options).run();
}

}  // namespace amberfs
