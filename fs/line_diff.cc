// SPDX-License-Identifier: Apache-2.0
#include "fs/line_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace amberfs {
namespace {

using Ids = std::vector<std::uint32_t>;  // one number per different line

// Exact up to this many cells of the table (4 bytes each).
constexpr std::size_t kTableCellsMax = 4'000'000;

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  [[nodiscard]] std::size_t size() const { return end - begin; }
};

class LineDiffer {
 public:
  LineDiffer(Ids before, Ids after, std::size_t id_count)
      : before_(std::move(before)), after_(std::move(after)), seen_(id_count) {}

  std::vector<Hunk> run() {
    // Gaps wait on a list instead of the call stack: logs have many.
    std::vector<std::pair<Range, Range>> gaps{{{0, before_.size()}, {0, after_.size()}}};
    while (!gaps.empty()) {
      auto [a, b] = gaps.back();
      gaps.pop_back();
      solve(a, b, gaps);
    }
    return joined();
  }

 private:
  struct Seen {
    std::uint32_t before = 0;
    std::uint32_t after = 0;
    std::size_t before_at = 0;
  };

  void solve(Range a, Range b, std::vector<std::pair<Range, Range>>& gaps) {
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
    const auto anchors = find_anchors(a, b);
    if (!anchors.empty()) {
      for (const auto& [i, j] : anchors) {
        gaps.push_back({{a.begin, i}, {b.begin, j}});
        a.begin = i + 1;
        b.begin = j + 1;
      }
      gaps.push_back({a, b});
    } else if ((a.size() + 1) * (b.size() + 1) <= kTableCellsMax) {
      solve_exactly(a, b);
    } else {
      hunks_.push_back({a.begin, a.end, b.begin, b.end});
    }
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
  std::vector<Hunk> hunks_;
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
  std::unordered_map<ByteView, std::uint32_t> ids;
  const auto number = [&](const std::vector<ByteView>& lines) {
    Ids numbers;
    numbers.reserve(lines.size());
    for (const ByteView line : lines) {
      numbers.push_back(
          ids.try_emplace(line, static_cast<std::uint32_t>(ids.size())).first->second);
    }
    return numbers;
  };
  Ids before_ids = number(before);
  Ids after_ids = number(after);
  return LineDiffer(std::move(before_ids), std::move(after_ids), ids.size()).run();
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
