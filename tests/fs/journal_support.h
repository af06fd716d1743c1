// SPDX-License-Identifier: Apache-2.0
// What the journal's tests share: opening, small batches, the files as bytes.
#pragma once

#include "blockstore/base/hash.h"
#include "fs/journal.h"
#include "fs/journal_format.h"
#include "tests/support/both_forms.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace amberfs::testing {

struct SeenBatch {
  std::uint64_t seq = 0;
  std::vector<Change> changes;
};

struct OpenedJournal {
  std::unique_ptr<Journal> journal;
  std::vector<SeenBatch> seen;

  // The first key of each batch: tests name batches by it.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const SeenBatch& batch : seen) {
      names.push_back(batch.changes.empty() ? "" : batch.changes.front().key);
    }
    return names;
  }
};

inline Result<OpenedJournal> try_open_journal(Io& io, const std::string& directory,
                                              const JournalOptions& options,
                                              const JournalPosition& from = {}) {
  OpenedJournal opened;
  TRY_ASSIGN(opened.journal,
             Journal::open(io, directory, options, from,
                           [&opened](const Batch& batch, const Appended& where) -> Status {
                             opened.seen.push_back({where.seq, batch.changes()});
                             return ok();
                           }));
  return opened;
}

inline OpenedJournal open_journal(Io& io, const std::string& directory,
                                  const JournalOptions& options, const JournalPosition& from = {}) {
  auto opened = try_open_journal(io, directory, options, from);
  EXPECT_TRUE(opened) << opened.error().to_string();
  return opened ? *std::move(opened) : OpenedJournal{};
}

// Segments of 8 KiB: 4 KiB of records.
inline JournalOptions tiny_segments() {
  JournalOptions options;
  options.segment_size_bytes = 8 * kKiB;
  options.prepare_ahead = false;
  options.packing.cipher = test_cipher();
  return options;
}

inline Batch named_batch(const std::string& name, std::size_t value_size = 10) {
  Batch batch(OpKind::kOther);
  batch.put(name, Bytes(value_size, 'v'));
  return batch;
}

inline Appended append_named(Journal& journal, const std::string& name,
                             std::size_t value_size = 10) {
  auto appended = journal.append(named_batch(name, value_size));
  EXPECT_TRUE(appended) << appended.error().to_string();
  return appended.value_or(Appended{});
}

inline Bytes read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::string& path, ByteView bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::vector<std::string> segment_files(const std::string& directory) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".wal") paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

// The bytes of a document's block of hexadecimal digits, counted from 0.
inline Bytes hex_block(const std::string& document, int which) {
  std::istringstream lines(document);
  std::string line;
  std::string digits;
  bool inside = false;
  while (std::getline(lines, line)) {
    if (line == "```hex") {
      inside = which-- == 0;
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      std::istringstream words(line.substr(line.find(':') + 1));
      for (std::string word; words >> word && word != "|";) digits += word;
    }
  }
  Bytes bytes(digits.size() / 2, '\0');
  auto* raw = reinterpret_cast<std::uint8_t*>(bytes.data());
  EXPECT_TRUE(from_hex(digits, raw, bytes.size())) << digits;
  return bytes;
}

}  // namespace amberfs::testing
