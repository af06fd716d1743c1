// SPDX-License-Identifier: Apache-2.0
// Link: one signed statement of the sealed chain: that a document (the manifest of a snapshot, or a
// note) with this id stands at this place, made at this time; and with which key the next statement
// will be signed. So who knows the first key alone can follow the chain to its end, and who gets
// the present key can go on with it, but not change a link before.
// Format:  docs/format/chain.md. What is signed begins with a label of its own, so that no
// signature
//          made for something else can be passed off as a link.
// Threads: values and functions of values.
// Errors:  kCorrupt, kNewerFormat for bytes that are no link.
#pragma once

#include "blockstore/base/hash.h"
#include "blockstore/base/result.h"
#include "blockstore/base/signature.h"

#include <functional>
#include <optional>
#include <string>

namespace amberfs {

// On disk, never renumber.
enum class LinkKind : std::uint16_t {
  kSnapshot = 1,
  kTombstone = 2,  // snapshots were forgotten on purpose
  kBegin = 3,      // of a chain that was begun in a store that had snapshots: names them
};
[[nodiscard]] std::string_view to_text(LinkKind kind);

struct Link {
  LinkKind kind = LinkKind::kSnapshot;
  std::uint64_t number = 0;    // its place in the chain: 1, 2, 3 …
  std::uint64_t sequence = 0;  // of the document; grows from link to link, with gaps
  std::int64_t time_ns = 0;    // since 1970, UTC; grows from link to link
  Sha256 id{};                 // of the document
  Sha256 previous{};           // hash of the link before; of the first one: genesis_hash()
  PublicKey key;               // signs this link
  PublicKey next_key;          // signs the next one
  Signature signature{};
  friend bool operator==(const Link&, const Link&) = default;
};

// What a link says of its document.
struct LinkSubject {
  LinkKind kind = LinkKind::kSnapshot;
  std::uint64_t sequence = 0;
  std::int64_t time_ns = 0;
  Sha256 id{};
};
// Signs a document that is about to be written. Empty: the document stays unsigned.
using LinkMaker = std::function<Result<Link>(const LinkSubject& subject)>;

constexpr std::size_t kLinkSize = 224;  // without the frame of a record of STORE/chain

[[nodiscard]] Bytes encode_link(const Link& link);  // kLinkSize bytes
[[nodiscard]] Result<Link> decode_link(ByteView bytes);

// Fills in `key` and `signature`.
void sign_link(Link& link, const SigningKey& key);
[[nodiscard]] Sha256 link_hash(const Link& link);
[[nodiscard]] Sha256 genesis_hash(const PublicKey& first_key);

// Where the chain has come to: what the next link must fit to.
struct ChainEnd {
  std::uint64_t length = 0;
  std::uint64_t sequence = 0;  // of the last link; 0: none
  std::int64_t time_ns = INT64_MIN;
  Sha256 hash{};
  PublicKey next_key;

  [[nodiscard]] static ChainEnd before_first(const PublicKey& first_key);
  [[nodiscard]] static ChainEnd after(const Link& link);
  // SEQUENCE:HASH, the hash cut off to 32 digits: what an administrator notes down.
  [[nodiscard]] std::string to_text() const;
  friend bool operator==(const ChainEnd&, const ChainEnd&) = default;
};
// "" when the link is the one that follows; else what is wrong with it.
[[nodiscard]] std::string why_not_next(const ChainEnd& end, const Link& link);

}  // namespace amberfs
