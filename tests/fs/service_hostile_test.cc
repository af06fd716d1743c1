// SPDX-License-Identifier: Apache-2.0
// Requests that are meant to break the service: none gets an exception or a crash out of it, and
// the store is well afterwards.
#include "fs/service.h"
#include "tests/fs/command_support.h"

namespace amberfs {
namespace {

using testing::CommandFixture;

class HostileTest : public CommandFixture {
 protected:
  void send(const std::string& text) {
    auto reply = Service(*engine_).call(text, {});
    if (reply) {
      EXPECT_TRUE(Json::accept(reply->json)) << text;
    } else {
      EXPECT_FALSE(reply.error().to_string().empty());
    }
  }
};

TEST_F(HostileTest, NestingLengthAndBytesDoNoHarm) {
  send(std::string(200'000, '['));
  send(R"({"command":)" + std::string(100'000, '{'));
  send(std::string("{\"command\":\"st\0at\"}", 19));
  send("{\"command\":\"\xff\xfe\"}");
  send(R"({"command":"diff","from":"\u0000"})");
  send(R"({"command":"stat","view":"live","path":")" + std::string(1'000'000, 'a') + "\"}");
  send(R"({"command":"stat","view":"live","path":")" + std::string(100'000, '/') + "\"}");
  send(R"({"command":"snapshot","reason":")" + std::string(10'000, 'r') + "\"}");
  send(R"({"command":"read","view":"live","path":"","offset":18446744073709551615})");
  write("f", "text");
  send(R"({"command":"read","view":"live","path":"f","offset":18446744073709551615})");
  send(R"({"command":"read","view":"live","path":"f","offset":18446744073709551615,"size":0})");
  send(R"({"command":"readdir","view":"live","path":"f"})");
  send(R"({"command":"readdir","view":"live","path":"","after":18446744073709551615})");
  send(R"({"command":"readlink","view":"live","path":"f"})");
  send(R"({"command":"list","after":18446744073709551615})");
  EXPECT_EQ(snapshot_count(), 0U);
  EXPECT_EQ(problems(), "");
}

TEST_F(HostileTest, RequestsOfRandomPartsAreAnsweredOrRefused) {
  std::mt19937_64 random(testing::test_seed());
  write("a.log", "1\n2\n3\n");
  make("d", S_IFDIR | 0755);
  write("d/b", "text");
  snapshot();
  const std::vector<std::string> commands{"snapshot", "list",    "resolve", "commit", "diff",
                                          "stat",     "readdir", "xattrs",  "read",   "restore",
                                          "status",   "verify",  "readlink"};
  const std::vector<std::string> members{
      "name", "snap",   "from", "to",    "paths", "path",  "lines",   "exact",          "skip",
      "view", "offset", "size", "after", "full",  "force", "dry_run", "replace_damaged"};
  const std::vector<Json> values{"latest",
                                 "live",
                                 "a.log",
                                 "d",
                                 "*",
                                 "**/b",
                                 "/",
                                 "..",
                                 "\\x41",
                                 "\\",
                                 "",
                                 true,
                                 false,
                                 0,
                                 7,
                                 -1,
                                 1.5,
                                 nullptr,
                                 Json::array(),
                                 Json::object(),
                                 Json({"a.log", "d"}),
                                 Json({"*", 5}),
                                 "#1",
                                 "now",
                                 "\\x00",
                                 "latest~9"};
  for (int i = 0; i < 1500; ++i) {
    Json request{{"command", commands[random() % commands.size()]}};
    for (auto n = random() % 6; n > 0; --n) {
      request[members[random() % members.size()]] = values[random() % values.size()];
    }
    if (request["command"] == "snapshot" && random() % 8 != 0) continue;  // they add up
    std::string text = request.dump();
    if (random() % 5 == 0) text[random() % text.size()] = static_cast<char>(random());
    send(text);
  }
  EXPECT_EQ(problems(), "");
  EXPECT_TRUE(ask({{"command", "verify"}, {"full", true}})["ok"]);
}

}  // namespace
}  // namespace amberfs
