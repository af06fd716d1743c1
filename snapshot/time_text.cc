// SPDX-License-Identifier: Apache-2.0
// Times as text: ISO 8601, always UTC on output.
#include "snapshot/manifest.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>

namespace amberfs {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kNsPerMillisecond = 1'000'000;

// Takes parts off the front of a text; any mismatch makes it fail for good.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  int digits(std::size_t count) {
    int value = 0;
    if (text_.size() < count) return failed();
    for (std::size_t i = 0; i < count; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return failed();
      value = value * 10 + (text_[i] - '0');
    }
    text_.remove_prefix(count);
    return value;
  }
  bool accept(std::string_view any_of) {
    if (text_.empty() || any_of.find(text_.front()) == std::string_view::npos) return false;
    text_.remove_prefix(1);
    return true;
  }
  // Digits of a fraction of a second, as nanoseconds.
  std::int64_t fraction() {
    std::int64_t value = 0;
    std::int64_t unit = kNsPerSecond / 10;
    if (text_.empty() || text_.front() < '0' || text_.front() > '9') return failed();
    for (; !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; unit /= 10) {
      value += (text_.front() - '0') * unit;
      text_.remove_prefix(1);
    }
    return value;
  }
  int failed() {
    ok_ = false;
    return 0;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && text_.empty(); }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  [[nodiscard]] char front() const { return text_.empty() ? '\0' : text_.front(); }

 private:
  std::string_view text_;
  bool ok_ = true;
};

std::optional<std::int64_t> parse_relative(std::string_view text, std::int64_t now_ns) {
  std::int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0 || end + 1 != text.data() + text.size()) {
    return std::nullopt;
  }
  std::int64_t seconds = 0;
  switch (*end) {
    case 's':
      seconds = 1;
      break;
    case 'm':
      seconds = 60;
      break;
    case 'h':
      seconds = 3600;
      break;
    case 'd':
      seconds = 86400;
      break;
    case 'w':
      seconds = 604800;
      break;
    default:
      return std::nullopt;
  }
  constexpr std::int64_t kSecondsMax = 1'000'000'000;
  if (number > kSecondsMax / seconds) return std::nullopt;
  return now_ns - number * seconds * kNsPerSecond;
}

// "Z", nothing, or +hh:mm / -hh:mm; the offset to subtract, in seconds.
std::int64_t parse_zone(Scanner& in) {
  if (in.empty() || in.accept("Z")) return 0;
  const bool minus = in.front() == '-';
  if (!in.accept("+-")) return in.failed();
  const int hours = in.digits(2);
  in.accept(":");
  const int minutes = in.digits(2);
  if (hours > 14 || minutes > 59) return in.failed();
  return (minus ? -1 : 1) * (hours * 3600 + minutes * 60);
}

}  // namespace

std::string format_time(std::int64_t time_ns) {
  using namespace std::chrono;
  const auto time = sys_time<milliseconds>(
      milliseconds(time_ns / kNsPerMillisecond - (time_ns % kNsPerMillisecond < 0 ? 1 : 0)));
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

std::optional<std::int64_t> parse_time(std::string_view text, std::int64_t now_ns) {
  using namespace std::chrono;
  if (text == "now") return now_ns;
  if (text.starts_with("now-")) return parse_relative(text.substr(4), now_ns);
  Scanner in(text);
  const int y = in.digits(4);
  if (!in.accept("-")) return std::nullopt;
  const int m = in.digits(2);
  if (!in.accept("-")) return std::nullopt;
  const int d = in.digits(2);
  const year_month_day date(year(y), month(static_cast<unsigned>(m)),
                            day(static_cast<unsigned>(d)));
  // Nanoseconds since 1970 fit 64 bits from 1678 to 2261.
  if (!in.ok() || !date.ok() || y < 1678 || y > 2261) return std::nullopt;
  std::int64_t seconds = sys_days(date).time_since_epoch().count() * std::int64_t{86400};
  std::int64_t nanoseconds = 0;
  if (in.accept("T ")) {
    const int hour = in.digits(2);
    if (!in.accept(":")) return std::nullopt;
    const int minute = in.digits(2);
    int second = 0;
    if (in.accept(":")) {
      second = in.digits(2);
      if (in.accept(".")) nanoseconds = in.fraction();
    }
    if (hour > 23 || minute > 59 || second > 60) return std::nullopt;
    seconds += hour * 3600 + minute * 60 + second;
  }
  seconds -= parse_zone(in);
  if (!in.done()) return std::nullopt;
  return seconds * kNsPerSecond + nanoseconds;
}

}  // namespace amberfs
