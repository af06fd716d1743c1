// SPDX-License-Identifier: Apache-2.0
#include "fs/line_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace amberfs {
namespace {

using Ids = std::vector<std::uint32_t>;  // one number per different line

// Exact up to this many cells of the table (4 bytes each).
constexpr std::size_t kTableCellsMax = 1'000'000;
// Steps of the search for a split that all splits together may take: some seconds.
constexpr std::size_t kSearchStepsMax = 400'000'000;

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  [[nodiscard]] std::size_t size() const { return end - begin; }
};

struct Corner {
  std::int64_t x = 0;  // lines of the text before
  std::int64_t y = 0;  // lines of the text after
};

std::int64_t to_signed(std::size_t n) {
  return static_cast<std::int64_t>(n);
}
std::size_t to_index(std::int64_t n) {
  return static_cast<std::size_t>(n);
}
std::pair<std::size_t, std::size_t> unsigned_pair(const Corner& corner) {
  return {to_index(corner.x), to_index(corner.y)};
}

// Two searches towards each other, a difference a round, each keeping how far it got on every
// diagonal x - y: the linear-space form of Myers.
class Walks {
 public:
  struct Furthest {
    std::vector<std::int32_t> forward;
    std::vector<std::int32_t> backward;
  };

  Walks(std::size_t before_count, std::size_t after_count, Furthest& room)
      : room_(room), shift_(to_signed(after_count) + 2) {
    const std::size_t diagonals = before_count + after_count + 5;
    if (room_.forward.empty()) room_ = {Diagonals(diagonals), Diagonals(diagonals)};
  }

  void start(const Corner& low, const Corner& high) {
    low_ = low;
    high_ = high;
    d_min_ = low.x - high.y;
    d_max_ = high.x - low.y;
    f_min_ = f_max_ = low.x - low.y;
    b_min_ = b_max_ = high.x - high.y;
    odd_ = ((f_min_ - b_min_) & 1) != 0;
    fd(f_min_) = static_cast<std::int32_t>(low.x);
    bd(b_min_) = static_cast<std::int32_t>(high.x);
  }

  std::optional<Corner> forward(const Ids& before, const Ids& after) {
    if (f_min_ > d_min_) {
      fd(--f_min_ - 1) = -1;
    } else {
      ++f_min_;
    }
    if (f_max_ < d_max_) {
      fd(++f_max_ + 1) = -1;
    } else {
      --f_max_;
    }
    for (std::int64_t d = f_max_; d >= f_min_; d -= 2) {
      std::int64_t x = std::max<std::int64_t>(fd(d - 1) + std::int64_t{1}, fd(d + 1));
      std::int64_t y = x - d;
      while (x < high_.x && y < high_.y && before[to_index(x)] == after[to_index(y)]) ++x, ++y;
      fd(d) = static_cast<std::int32_t>(x);
      if (odd_ && b_min_ <= d && d <= b_max_ && bd(d) <= x) return Corner{x, y};
    }
    return std::nullopt;
  }

  std::optional<Corner> backward(const Ids& before, const Ids& after) {
    if (b_min_ > d_min_) {
      bd(--b_min_ - 1) = INT32_MAX;
    } else {
      ++b_min_;
    }
    if (b_max_ < d_max_) {
      bd(++b_max_ + 1) = INT32_MAX;
    } else {
      --b_max_;
    }
    for (std::int64_t d = b_max_; d >= b_min_; d -= 2) {
      std::int64_t x = std::min<std::int64_t>(bd(d - 1), bd(d + 1) - std::int64_t{1});
      std::int64_t y = x - d;
      while (low_.x < x && low_.y < y && before[to_index(x - 1)] == after[to_index(y - 1)]) {
        --x, --y;
      }
      bd(d) = static_cast<std::int32_t>(x);
      if (!odd_ && f_min_ <= d && d <= f_max_ && x <= fd(d)) return Corner{x, y};
    }
    return std::nullopt;
  }

  [[nodiscard]] Corner furthest() {
    Corner ahead = low_;
    for (std::int64_t d = f_max_; d >= f_min_; d -= 2) {
      std::int64_t x = std::min<std::int64_t>(fd(d), high_.x);
      if (x - d > high_.y) x = high_.y + d;
      if (x + x - d > ahead.x + ahead.y) ahead = {x, x - d};
    }
    Corner back = high_;
    for (std::int64_t d = b_max_; d >= b_min_; d -= 2) {
      std::int64_t x = std::max<std::int64_t>(bd(d), low_.x);
      if (x - d < low_.y) x = low_.y + d;
      if (x + x - d < back.x + back.y) back = {x, x - d};
    }
    const std::int64_t gained = ahead.x + ahead.y - low_.x - low_.y;
    return gained > high_.x + high_.y - back.x - back.y ? ahead : back;
  }

 private:
  using Diagonals = std::vector<std::int32_t>;
  std::int32_t& fd(std::int64_t d) { return room_.forward[to_index(d + shift_)]; }
  std::int32_t& bd(std::int64_t d) { return room_.backward[to_index(d + shift_)]; }

  Furthest& room_;
  const std::int64_t shift_;
  Corner low_, high_;
  std::int64_t d_min_ = 0, d_max_ = 0;  // diagonals that lie within both ranges
  std::int64_t f_min_ = 0, f_max_ = 0;  // reached by the walk forward
  std::int64_t b_min_ = 0, b_max_ = 0;
  bool odd_ = false;
};

class LineDiffer {
 public:
  LineDiffer(Ids before, Ids after, std::size_t id_count)
      : before_(std::move(before)), after_(std::move(after)), seen_(id_count) {}

  std::vector<Hunk> run() {
    // Gaps wait on a list instead of the call stack: logs have many.
    gaps_.push_back({{0, before_.size()}, {0, after_.size()}, true});
    while (!gaps_.empty()) {
      const Gap gap = gaps_.back();
      gaps_.pop_back();
      solve(gap);
    }
    return joined();
  }

 private:
  struct Seen {
    std::uint32_t before = 0;
    std::uint32_t after = 0;
    std::size_t before_at = 0;
  };

  struct Gap {
    Range a;
    Range b;
    bool may_have_anchors = true;  // not looked for yet
  };

  void solve(Gap gap) {
    auto& [a, b, may_have_anchors] = gap;
    while (a.size() > 0 && b.size() > 0 && before_[a.begin] == after_[b.begin]) {
      ++a.begin;
      ++b.begin;
    }
    while (a.size() > 0 && b.size() > 0 && before_[a.end - 1] == after_[b.end - 1]) {
      --a.end;
      --b.end;
    }
    if (a.size() == 0 && b.size() == 0) return;
    if (a.size() == 0 || b.size() == 0) {
      hunks_.push_back({a.begin, a.end, b.begin, b.end});
      return;
    }
    if (may_have_anchors && split_at_anchors(a, b)) return;
    if ((a.size() + 1) * (b.size() + 1) <= kTableCellsMax) {
      solve_exactly(a, b);
    } else {
      split_by_search(a, b);
    }
  }

  bool split_at_anchors(Range a, Range b) {
    const auto anchors = find_anchors(a, b);
    for (const auto& [i, j] : anchors) {
      gaps_.push_back({{a.begin, i}, {b.begin, j}, true});
      a.begin = i + 1;
      b.begin = j + 1;
    }
    if (!anchors.empty()) gaps_.push_back({a, b, true});
    return !anchors.empty();
  }

  void split_by_search(Range a, Range b) {
    const auto [i, j] = find_split(a, b);
    const bool corner = (i == a.begin && j == b.begin) || (i == a.end && j == b.end);
    if (corner) {
      hunks_.push_back({a.begin, a.end, b.begin, b.end});
      return;
    }
    gaps_.push_back({{a.begin, i}, {b.begin, j}, false});
    gaps_.push_back({{i, a.end}, {j, b.end}, false});
  }

  // A point on a shortest way from one end of both ranges to the other, found by walking from both
  // ends at once; when that takes too long, the point that one of the walks got furthest to.
  std::pair<std::size_t, std::size_t> find_split(Range a, Range b) {
    Walks walks(before_.size(), after_.size(), furthest_);
    const Corner low{to_signed(a.begin), to_signed(b.begin)};
    const Corner high{to_signed(a.end), to_signed(b.end)};
    walks.start(low, high);
    const std::size_t steps = kSearchStepsMax / (before_.size() + after_.size());
    const std::size_t rounds = std::clamp<std::size_t>(steps, 64, 4096);
    for (std::size_t round = 0; round < rounds; ++round) {
      if (const auto met = walks.forward(before_, after_)) return unsigned_pair(*met);
      if (const auto met = walks.backward(before_, after_)) return unsigned_pair(*met);
    }
    return unsigned_pair(walks.furthest());
  }

  // The longest run of lines, unique in both ranges, that stand in the same order in both.
  std::vector<std::pair<std::size_t, std::size_t>> find_anchors(Range a, Range b) {
    for (std::size_t i = a.begin; i < a.end; ++i) {
      ++seen_[before_[i]].before;
      seen_[before_[i]].before_at = i;
    }
    for (std::size_t j = b.begin; j < b.end; ++j) ++seen_[after_[j]].after;
    struct Pile {
      std::size_t i, j, previous;
    };
    constexpr std::size_t kNone = SIZE_MAX;
    std::vector<Pile> cards;        // pairs in order of j
    std::vector<std::size_t> tops;  // patience sorting: card with the lowest i of each length
    for (std::size_t j = b.begin; j < b.end; ++j) {
      const Seen& line = seen_[after_[j]];
      if (line.before != 1 || line.after != 1) continue;
      const auto pile = std::ranges::lower_bound(tops, line.before_at, {},
                                                 [&](std::size_t card) { return cards[card].i; });
      const std::size_t previous = pile == tops.begin() ? kNone : *std::prev(pile);
      cards.push_back({line.before_at, j, previous});
      if (pile == tops.end()) {
        tops.push_back(cards.size() - 1);
      } else {
        *pile = cards.size() - 1;
      }
    }
    std::vector<std::pair<std::size_t, std::size_t>> anchors;
    for (std::size_t card = tops.empty() ? kNone : tops.back(); card != kNone;
         card = cards[card].previous) {
      anchors.emplace_back(cards[card].i, cards[card].j);
    }
    std::ranges::reverse(anchors);
    for (std::size_t i = a.begin; i < a.end; ++i) seen_[before_[i]] = {};
    for (std::size_t j = b.begin; j < b.end; ++j) seen_[after_[j]] = {};
    return anchors;
  }

  void solve_exactly(Range a, Range b) {
    const std::size_t width = b.size() + 1;
    std::vector<std::uint32_t> common((a.size() + 1) * width, 0);
    for (std::size_t i = a.size(); i-- > 0;) {
      for (std::size_t j = b.size(); j-- > 0;) {
        common[i * width + j] =
            before_[a.begin + i] == after_[b.begin + j]
                ? common[(i + 1) * width + j + 1] + 1
                : std::max(common[(i + 1) * width + j], common[i * width + j + 1]);
      }
    }
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < a.size() || j < b.size()) {
      if (i < a.size() && j < b.size() && before_[a.begin + i] == after_[b.begin + j]) {
        ++i;
        ++j;
      } else if (j == b.size() ||
                 (i < a.size() && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
        hunks_.push_back({a.begin + i, a.begin + i + 1, b.begin + j, b.begin + j});
        ++i;
      } else {
        hunks_.push_back({a.begin + i, a.begin + i, b.begin + j, b.begin + j + 1});
        ++j;
      }
    }
  }

  std::vector<Hunk> joined() {
    std::ranges::sort(hunks_, [](const Hunk& x, const Hunk& y) {
      return std::pair(x.before_begin, x.after_begin) < std::pair(y.before_begin, y.after_begin);
    });
    std::vector<Hunk> result;
    for (const Hunk& hunk : hunks_) {
      if (!result.empty() && result.back().before_end == hunk.before_begin &&
          result.back().after_end == hunk.after_begin) {
        result.back().before_end = hunk.before_end;
        result.back().after_end = hunk.after_end;
      } else {
        result.push_back(hunk);
      }
    }
    return result;
  }

  Ids before_;
  Ids after_;
  std::vector<Seen> seen_;  // by id; all zero between uses
  std::vector<Gap> gaps_;
  std::vector<Hunk> hunks_;
  Walks::Furthest furthest_;  // room of the search, made when it is first needed
};

void append_line(std::string& text, char mark, ByteView line) {
  text += mark;
  text += line;
  if (!line.ends_with('\n')) text += "\n\\ No newline at end of file\n";
}

}  // namespace

std::vector<ByteView> split_lines(ByteView text) {
  std::vector<ByteView> lines;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    const std::size_t size = newline == ByteView::npos ? text.size() : newline + 1;
    lines.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return lines;
}

std::vector<Hunk> diff_lines(const std::vector<ByteView>& before,
                             const std::vector<ByteView>& after) {
  // What both begin and end with needs no number: a log that only grew costs one comparison.
  const std::size_t shorter = std::min(before.size(), after.size());
  std::size_t head = 0;
  while (head < shorter && before[head] == after[head]) ++head;
  std::size_t tail = 0;
  while (tail < shorter - head &&
         before[before.size() - 1 - tail] == after[after.size() - 1 - tail]) {
    ++tail;
  }
  std::unordered_map<ByteView, std::uint32_t> ids;
  const auto number = [&](const std::vector<ByteView>& lines) {
    Ids numbers;
    numbers.reserve(lines.size() - head - tail);
    for (std::size_t i = head; i < lines.size() - tail; ++i) {
      numbers.push_back(
          ids.try_emplace(lines[i], static_cast<std::uint32_t>(ids.size())).first->second);
    }
    return numbers;
  };
  Ids before_ids = number(before);
  Ids after_ids = number(after);
  auto hunks = LineDiffer(std::move(before_ids), std::move(after_ids), ids.size()).run();
  for (Hunk& hunk : hunks) {
    hunk.before_begin += head;
    hunk.before_end += head;
    hunk.after_begin += head;
    hunk.after_end += head;
  }
  return hunks;
}

std::string unified_diff(ByteView before_text, ByteView after_text, std::size_t context) {
  const auto before = split_lines(before_text);
  const auto after = split_lines(after_text);
  const auto hunks = diff_lines(before, after);
  std::string text;
  for (std::size_t first = 0; first < hunks.size();) {
    std::size_t last = first;  // hunks whose context touches are shown together
    while (last + 1 < hunks.size() &&
           hunks[last + 1].before_begin - hunks[last].before_end <= 2 * context) {
      ++last;
    }
    const std::size_t lead = std::min(context, hunks[first].before_begin);
    const std::size_t trail = std::min(context, before.size() - hunks[last].before_end);
    const std::size_t a_begin = hunks[first].before_begin - lead;
    const std::size_t b_begin = hunks[first].after_begin - lead;
    const std::size_t a_size = hunks[last].before_end + trail - a_begin;
    const std::size_t b_size = hunks[last].after_end + trail - b_begin;
    text += fmt::format("@@ -{},{} +{},{} @@\n", a_begin + (a_size > 0 ? 1 : 0), a_size,
                        b_begin + (b_size > 0 ? 1 : 0), b_size);
    std::size_t at = a_begin;
    for (; first <= last; ++first) {
      for (; at < hunks[first].before_begin; ++at) append_line(text, ' ', before[at]);
      for (; at < hunks[first].before_end; ++at) append_line(text, '-', before[at]);
      for (std::size_t j = hunks[first].after_begin; j < hunks[first].after_end; ++j) {
        append_line(text, '+', after[j]);
      }
    }
    for (std::size_t end = at + trail; at < end; ++at) append_line(text, ' ', before[at]);
  }
  return text;
}

}  // namespace amberfs
