// SPDX-License-Identifier: Apache-2.0
// ChainRig: the documents and the chain of a store without the rest of it, as Engine leads them,
// for tests of what an attacker can do to them. In an encrypted store the attacker has its key,
// too: who has not can do less.
#pragma once

#include "snapshot/chain_check.h"
#include "snapshot/document_seal.h"
#include "snapshot/signing_slots.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_cipher.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace amberfs::testing {

class ChainRig {
 public:
  ChainRig() {
    std::filesystem::create_directories(store() + "/snapshots");
    EXPECT_TRUE(Chain::create(*io_, store(), cipher_));
    open();
    key_ = chain_->first_key().value_or(PublicKey{});
  }
  [[nodiscard]] std::string store() const { return dir_ / "store"; }
  [[nodiscard]] const PublicKey& key() const { return key_; }
  [[nodiscard]] Chain& chain() { return *chain_; }
  [[nodiscard]] Catalog& catalog() { return *catalog_; }

  void open() {
    auto catalog = Catalog::open(*io_, store() + "/snapshots", cipher_);
    auto notes = Notes::open(*io_, store() + "/notes", cipher_);
    auto chain = Chain::open(*io_, store(), cipher_);
    ASSERT_TRUE(catalog && notes && chain);
    catalog_ = *std::move(catalog);
    notes_ = *std::move(notes);
    chain_ = *std::move(chain);
    std::map<std::uint64_t, Link> links;
    const std::uint64_t length = chain_->end().length;
    for (const Link& link : catalog_->links_above(length)) links.emplace(link.number, link);
    for (const Link& link : notes_->links_above(length)) links.emplace(link.number, link);
    std::vector<Link> list;
    for (const auto& [number, link] : links) list.push_back(link);
    chain_->catch_up(list);
  }

  Manifest make(std::uint64_t sequence) const {
    Manifest manifest;
    manifest.sequence = sequence;
    manifest.time_ns = static_cast<std::int64_t>(sequence) * 1'000'000'000;
    manifest.root = BlockId{sha256(std::to_string(sequence))};
    manifest.reason = "number " + std::to_string(sequence);
    return manifest;
  }
  Manifest add(std::uint64_t sequence) {
    Manifest manifest = make(sequence);
    const Status added = catalog_->add(manifest, maker());
    EXPECT_TRUE(added) << added.error().to_string();
    chain_->confirm();
    return manifest;
  }
  Note forget(std::uint64_t sequence, const Manifest& manifest) {
    Note note{.sequence = sequence,
              .time_ns = static_cast<std::int64_t>(sequence) * 1'000'000'000,
              .reason = "test",
              .snapshots = {{manifest.sequence, manifest.time_ns, manifest.id, manifest.link}}};
    EXPECT_TRUE(notes_->add(note, maker()));
    chain_->confirm();
    EXPECT_TRUE(catalog_->remove(manifest.sequence));
    return note;
  }
  LinkMaker maker() {
    if (!chain_->can_sign()) return {};
    return [this](const LinkSubject& subject) { return chain_->prepare(subject); };
  }

  ChainReport check(std::string_view head = {}) {
    open();
    auto evidence = collect_evidence(*chain_, *catalog_, *notes_);
    EXPECT_TRUE(evidence);
    std::optional<NotedHead> noted;
    if (!head.empty()) {
      noted = parse_noted_head(head);
      EXPECT_TRUE(noted) << head;
    }
    return check_chain(*evidence, key_, noted);
  }
  // All that check() found, a line each.
  std::string findings(std::string_view head = {}) {
    std::string text;
    for (const ChainFinding& finding : check(head).findings) {
      text += finding.object + ": " + finding.what + "\n";
    }
    return text;
  }

  // The secret that signs the next link, as who has taken the machine over reads it.
  [[nodiscard]] SigningSlots slots() {
    return SigningSlots(*io_, store() + "/signing.key", cipher_);
  }
  // As a note stands on disk.
  [[nodiscard]] std::string to_disk(std::string note) const {
    constexpr ByteView kMagic = "AMBNOTE1";
    return cipher_ ? Bytes(kMagic) + cipher_->manifests().seal(kMagic, note) : note;
  }
  [[nodiscard]] std::string manifest_path(std::uint64_t sequence) const {
    return path_in("snapshots", sequence);
  }
  [[nodiscard]] std::string note_path(std::uint64_t sequence) const {
    return path_in("notes", sequence);
  }
  static std::string read(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  // Puts a manifest there as an attacker would: a good file, whatever it says.
  void plant(Manifest manifest) const {
    std::string text = encode_manifest(manifest);
    if (cipher_) text = seal_document(cipher_->manifests(), text).value();
    std::string time = format_time(manifest.time_ns);
    std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
    char sequence[16];
    std::snprintf(sequence, sizeof sequence, "%012llu",
                  static_cast<unsigned long long>(manifest.sequence));
    write(
        store() + "/snapshots/" + sequence + "-" + time + "-" + manifest.id.substr(0, 16) + ".json",
        text);
  }

 private:
  [[nodiscard]] std::string path_in(const std::string& directory, std::uint64_t sequence) const {
    for (const auto& entry : std::filesystem::directory_iterator(store() + "/" + directory)) {
      const std::string name = entry.path().filename();
      if (std::strtoull(name.c_str(), nullptr, 10) == sequence) return entry.path();
    }
    ADD_FAILURE() << "no document " << sequence;
    return {};
  }

  TempDir dir_;
  const std::shared_ptr<const StoreCipher> cipher_ = test_cipher();
  std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Notes> notes_;
  std::unique_ptr<Chain> chain_;
  PublicKey key_;
};

}  // namespace amberfs::testing
