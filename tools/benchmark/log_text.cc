// SPDX-License-Identifier: Apache-2.0
#include "tools/benchmark/log_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <vector>

namespace amberfs::benchmark {
namespace {

constexpr std::array kHosts = {"web-01", "web-02", "db-01", "cache-7", "gw-eu-3"};
constexpr std::array kServices = {"nginx", "sshd", "postgres", "kubelet", "api", "worker", "cron"};
constexpr std::array kLevels = {"INFO", "INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"};
constexpr std::array kPaths = {"/index.html", "/api/v1/orders", "/api/v1/users/login",
                               "/static/app.js", "/healthz"};
constexpr std::array kTemplates = {
    "GET {path} 200 {a} bytes in {b} ms, request {hex}",
    "connection from 10.{c}.{d}.{e} port {a} closed by user deploy",
    "statement took {b} ms: SELECT * FROM orders WHERE id = {a}",
    "session {hex} opened for user www-data by (uid={c})",
    "retry {c} of 5 for job {hex}: timed out after {a} ms",
};

// One stamp of eight digits in so many bytes: about one in four lines.
constexpr std::size_t kStampEvery = 512;
constexpr std::size_t kStampDigits = 8;
constexpr std::size_t kSessions = 20'000;
constexpr std::size_t kSessionsAtOnce = 40;
constexpr std::size_t kSources = 12;  // programs that log, each its own kind of message

}  // namespace

LogText::LogText(std::uint64_t seed, std::size_t pool_size_bytes)
    : state_(seed * 2 + 1), stamp_(seed << 20) {
  make_pool(pool_size_bytes);
}

// xorshift64*, Vigna 2016.
std::uint64_t LogText::random() {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545F4914F6CDD1DULL;
}

void LogText::make_pool(std::size_t size_bytes) {
  pool_.reserve(size_bytes + 256);
  std::uint64_t milliseconds = 1'760'000'000'000;
  // What recurs in real logs: clients, sessions and jobs that write more than one line.
  std::vector<std::string> sessions(kSessions);
  for (std::string& session : sessions) session = fmt::format("{:016x}", random());
  const auto pick = [this](const auto& list) { return list[random() % list.size()]; };
  std::size_t first = 0;
  const auto recent = [&](const std::vector<std::string>& all) -> const std::string& {
    if (random() % 16 == 0) first = (first + 1) % (all.size() - kSessionsAtOnce);
    return all[first + random() % kSessionsAtOnce];
  };
  std::size_t source = 0;
  while (pool_.size() < size_bytes) {
    milliseconds += random() % 4 == 0 ? random() % 40 : 0;
    if (random() % 6 == 0) source = random() % kSources;
    const std::uint64_t seconds = milliseconds / 1000;
    fmt::format_to(
        std::back_inserter(pool_), "2026-11-{:02}T{:02}:{:02}:{:02}.{:03}Z {} {}[{}]: {} ",
        1 + seconds / 86400 % 28, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60,
        milliseconds % 1000, kHosts[source % kHosts.size()], kServices[source % kServices.size()],
        800 + source, random() % 12 == 0 ? pick(kLevels) : "INFO");
    fmt::format_to(std::back_inserter(pool_), fmt::runtime(kTemplates[source % kTemplates.size()]),
                   fmt::arg("path", pick(kPaths)), fmt::arg("a", random() % 6000),
                   fmt::arg("b", random() % 90), fmt::arg("c", random() % 4),
                   fmt::arg("d", source % 8), fmt::arg("e", random() % 64),
                   fmt::arg("hex", recent(sessions)));
    pool_.push_back('\n');
  }
  pool_.resize(size_bytes);
}

std::string_view LogText::next(std::size_t size) {
  block_.clear();
  while (block_.size() < size) {
    const std::size_t piece = std::min(size - block_.size(), pool_.size() - position_);
    block_.append(pool_, position_, piece);
    position_ = (position_ + piece) % pool_.size();
  }
  for (std::size_t at = 0; at + kStampDigits <= size; at += kStampEvery) {
    std::uint64_t value = stamp_++;
    for (std::size_t digit = kStampDigits; digit-- > 0; value /= 10) {
      block_[at + digit] = static_cast<char>('0' + value % 10);
    }
  }
  return block_;
}

}  // namespace amberfs::benchmark
