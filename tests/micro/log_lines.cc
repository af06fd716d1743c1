// SPDX-License-Identifier: Apache-2.0
#include "tests/micro/log_lines.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <random>
#include <string_view>

namespace amberfs::micro {
namespace {

// The engine's numbers are the same everywhere; those of the standard distributions are not.
using Random = std::mt19937_64;
constexpr std::uint64_t kSeed = 20261120;
constexpr std::size_t kLineSizeMax = 400;

constexpr std::array<std::string_view, 8> kPaths{"/",
                                                 "/login",
                                                 "/api/v1/orders",
                                                 "/api/v1/items",
                                                 "/static/app.js",
                                                 "/static/main.css",
                                                 "/healthz",
                                                 "/search?q=amber"};
constexpr std::array<std::string_view, 8> kStatuses{"200", "200", "200", "200",
                                                    "304", "302", "404", "500"};
constexpr std::array<std::string_view, 4> kAgents{
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36",
    "curl/7.88.1", "kube-probe/1.30"};
constexpr std::array<std::string_view, 4> kUsers{"root", "deploy", "backup", "anna"};

template <std::size_t kSize>
std::string_view one_of(const std::array<std::string_view, kSize>& words, Random& random) {
  return words[random() % kSize];
}

struct TimeOfDay {
  std::uint64_t hours, minutes, seconds, milliseconds;
  explicit TimeOfDay(std::uint64_t ms)
      : hours(ms / 3'600'000 % 24),
        minutes(ms / 60'000 % 60),
        seconds(ms / 1000 % 60),
        milliseconds(ms % 1000) {}
};

void add_access(Bytes& text, const TimeOfDay& at, Random& random) {
  fmt::format_to(std::back_inserter(text),
                 "10.{}.{}.{} - - [20/Nov/2026:{:02}:{:02}:{:02} +0000] \"GET {} HTTP/1.1\" {} {} "
                 "\"-\" \"{}\"\n",
                 random() % 4, random() % 16, random() % 256, at.hours, at.minutes, at.seconds,
                 one_of(kPaths, random), one_of(kStatuses, random), random() % 60'000,
                 one_of(kAgents, random));
}

void add_login(Bytes& text, const TimeOfDay& at, Random& random) {
  fmt::format_to(std::back_inserter(text),
                 "Nov 20 {:02}:{:02}:{:02} web-{} sshd[{}]: Accepted publickey for {} from "
                 "10.0.{}.{} port {} ssh2\n",
                 at.hours, at.minutes, at.seconds, random() % 8, 1000 + random() % 30'000,
                 one_of(kUsers, random), random() % 16, random() % 256, 32'768 + random() % 28'000);
}

void add_record(Bytes& text, const TimeOfDay& at, Random& random) {
  fmt::format_to(std::back_inserter(text),
                 "{{\"time\":\"2026-11-20T{:02}:{:02}:{:02}.{:03}Z\",\"level\":\"info\","
                 "\"service\":\"orders\",\"trace\":\"{:016x}\",\"msg\":\"order stored\","
                 "\"order\":{},\"duration_ms\":{}}}\n",
                 at.hours, at.minutes, at.seconds, at.milliseconds, random(), random() % 10'000'000,
                 random() % 900);
}

void add_line(Bytes& text, const TimeOfDay& at, Random& random) {
  const std::uint64_t kind = random() % 10;
  if (kind < 6) return add_access(text, at, random);
  if (kind < 8) return add_login(text, at, random);
  add_record(text, at, random);
}

}  // namespace

Bytes log_lines(std::size_t size_bytes) {
  Random random(kSeed);
  Bytes text;
  text.reserve(size_bytes + kLineSizeMax);
  for (std::uint64_t ms = 0; text.size() < size_bytes; ms += random() % 50) {
    add_line(text, TimeOfDay(ms), random);
  }
  text.resize(size_bytes);
  return text;
}

Bytes log_line() {
  Random random(kSeed);
  Bytes text;
  add_access(text, TimeOfDay(0), random);
  return text;
}

}  // namespace amberfs::micro
