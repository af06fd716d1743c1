// SPDX-License-Identifier: Apache-2.0
#include "snapshot/document_seal.h"

#include "blockstore/base/hash.h"
#include "snapshot/manifest.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <functional>
#include <set>

namespace amberfs {
namespace {

using Json = nlohmann::json;

Sealer sealer(char byte = 'M') {
  return Sealer(SecretBytes::copy_of(Bytes(kKeySize, byte)).value());
}

Manifest example() {
  Manifest manifest;
  manifest.sequence = 7;
  manifest.time_ns = 1795170785123456789;
  manifest.root.bytes[0] = 1;
  manifest.name = "zkqvwx-name";
  manifest.reason = "zkqvwx-reason";
  manifest.kind = "manual";
  manifest.totals = {123456789, 987654321};
  return manifest;
}

// As who can write the store would: with a checksum that matches.
std::string changed(const std::string& text, const std::function<void(Json&)>& change) {
  Json json = Json::parse(text);
  json.erase("checksum");
  change(json);
  const Sha256 digest = sha256(json.dump());
  json["checksum"] = to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
  return json.dump();
}

TEST(DocumentSeal, ComesBackAsItWas) {
  Manifest manifest = example();
  const std::string text = encode_manifest(manifest);
  const auto back = open_document(sealer(), seal_document(sealer(), text).value());
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(Json::parse(*back), Json::parse(text));
  EXPECT_EQ(decode_manifest(*back)->id, manifest.id);
}

TEST(DocumentSeal, ShowsItsPlaceAndNothingElse) {
  Manifest manifest = example();
  const std::string sealed = seal_document(sealer(), encode_manifest(manifest)).value();
  const Json json = Json::parse(sealed);
  for (const auto& [member, value] : json.items()) {
    const std::set<std::string> known{"amberfs", "format",  "id",     "sequence",
                                      "time",    "time_ns", "sealed", "checksum"};
    EXPECT_TRUE(known.contains(member)) << member;
  }
  EXPECT_EQ(json["sequence"], 7);
  EXPECT_EQ(json["id"], manifest.id);
  EXPECT_EQ(sealed.find("zkqvwx"), std::string::npos);
  EXPECT_EQ(sealed.find(to_hex("zkqvwx")), std::string::npos);
  EXPECT_EQ(sealed.find("987654321"), std::string::npos);
}

TEST(DocumentSeal, NoVisibleMemberCanBeChangedAndNoneAdded) {
  Manifest manifest = example();
  const std::string sealed = seal_document(sealer(), encode_manifest(manifest)).value();
  const auto opens = [&](const std::function<void(Json&)>& change) {
    const auto opened = open_document(sealer(), changed(sealed, change));
    return opened && decode_manifest(*opened);
  };
  EXPECT_TRUE(opens([](Json&) {}));
  EXPECT_FALSE(opens([](Json& json) { json["sequence"] = 8; }));
  EXPECT_FALSE(opens([](Json& json) { json["time_ns"] = 5; }));
  EXPECT_FALSE(opens([](Json& json) { json["time"] = "2026"; }));
  EXPECT_FALSE(opens([](Json& json) { json["id"] = std::string(64, '0'); }));
  EXPECT_FALSE(opens([](Json& json) { json.erase("time"); }));
  EXPECT_FALSE(opens([](Json& json) { json.erase("sealed"); }));
  EXPECT_FALSE(opens([](Json& json) { json["sealed"] = 5; }));
  EXPECT_FALSE(opens([](Json& json) { json["sealed"] = "abc"; }));
  EXPECT_FALSE(opens([](Json& json) {
    auto text = json["sealed"].get<std::string>();
    text[100] = text[100] == '0' ? '1' : '0';
    json["sealed"] = text;
  }));
}

TEST(DocumentSeal, ReadsTheExampleOfTheDocument) {
  std::ifstream file(AMBERFS_DOCS "/format/manifest.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::size_t begin = page.find("```json\n", page.find("## Sealed")) + 8;
  const auto opened = open_document(sealer(), page.substr(begin, page.find("```", begin) - begin));
  ASSERT_TRUE(opened) << opened.error().to_string();
  const auto manifest = decode_manifest(*opened);
  ASSERT_TRUE(manifest) << manifest.error().to_string();
  EXPECT_EQ(manifest->sequence, 7U);
  EXPECT_EQ(manifest->name, "before-upgrade");
  EXPECT_EQ(manifest->reason, "kernel 6.18");
}

// Who has the key could hide anything: it never becomes a document that cannot be sealed again.
TEST(DocumentSeal, RefusesHiddenMembersThatAreItsOwn) {
  Manifest manifest = example();
  const Json document = Json::parse(seal_document(sealer(), encode_manifest(manifest)).value());
  for (const char* hidden : {R"({"checksum":"x"})", R"({"sealed":"x"})", R"({"id":"x"})", "[]"}) {
    const std::string text = changed(document.dump(), [&](Json& json) {
      Json bound = json;
      bound.erase("sealed");
      bound.erase("link");
      json["sealed"] = to_hex(sealer().seal(bound.dump(), ByteView(hidden)));
    });
    EXPECT_EQ(open_document(sealer(), text).error().code, Errc::kCorrupt) << hidden;
  }
  const std::string harmless = changed(document.dump(), [&](Json& json) {
    Json bound = json;
    bound.erase("sealed");
    bound.erase("link");
    json["sealed"] = to_hex(sealer().seal(bound.dump(), ByteView(R"({"name":"x"})")));
  });
  EXPECT_TRUE(open_document(sealer(), harmless)) << "the attempts above are not the right ones";
}

TEST(DocumentSeal, RefusesOtherKeysAndPlainTexts) {
  Manifest manifest = example();
  const std::string text = encode_manifest(manifest);
  const std::string sealed = seal_document(sealer(), text).value();
  EXPECT_EQ(open_document(sealer('N'), sealed).error().code, Errc::kCorrupt);
  EXPECT_EQ(open_document(sealer(), text).error().code, Errc::kCorrupt);
  EXPECT_EQ(decode_manifest(sealed).error().code, Errc::kCorrupt);
  for (const char* none : {"", "{}", "[]", "null", "{\"checksum\":\"\"}"}) {
    EXPECT_EQ(open_document(sealer(), none).error().code, Errc::kCorrupt) << none;
    EXPECT_FALSE(seal_document(sealer(), none)) << none;
  }
  EXPECT_FALSE(open_document(sealer(), std::string(100000, '[')));
}

}  // namespace
}  // namespace amberfs
