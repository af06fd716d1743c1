// SPDX-License-Identifier: Apache-2.0
// Messages of the control socket, over a pair of sockets.
#include "fs/control/control_protocol.h"

#include "fs/control/peer.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace amberfs {
namespace {

class ControlProtocolTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds_.data()), 0); }
  void TearDown() override {
    ::close(fds_[0]);
    hang_up();
  }
  void hang_up() {
    if (fds_[1] >= 0) ::close(fds_[1]);
    fds_[1] = -1;
  }
  void send(const std::string& json, const Bytes& payload) {
    ASSERT_TRUE(send_message(fds_[1], {MessageKind::kReply, json, payload}));
  }

  std::array<int, 2> fds_{-1, -1};
};

TEST_F(ControlProtocolTest, APayloadGoesWhereItIsWantedWhenItFits) {
  std::array<char, 6> target{'?', '?', '?', '?', '?', '?'};
  send("{}", "abcd");
  auto message = receive_message(fds_[0], std::span(target));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->json, "{}");
  EXPECT_EQ(message->placed, 4U);
  EXPECT_TRUE(message->payload.empty());
  EXPECT_EQ(std::string(target.data(), target.size()), "abcd??");

  send("{}", "abcdefg");
  message = receive_message(fds_[0], std::span(target));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->placed, 0U);
  EXPECT_EQ(message->payload, "abcdefg");
  EXPECT_EQ(std::string(target.data(), target.size()), "abcd??");

  send("{}", "hi");  // the next message begins where it should
  message = receive_message(fds_[0]);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->payload, "hi");
}

// The server died in the middle of an answer: not an answer with other bytes in its place.
TEST_F(ControlProtocolTest, AMessageThatIsCutOffIsAnError) {
  const Bytes header = encode_message_header(MessageKind::kReply, 2, 4);
  for (const Bytes& sent : {header, header + "{}", header + "{}ab"}) {
    ASSERT_EQ(::send(fds_[1], sent.data(), sent.size(), 0), static_cast<ssize_t>(sent.size()));
    hang_up();
    std::array<char, 6> target{};
    const auto message = receive_message(fds_[0], std::span(target));
    ASSERT_FALSE(message) << sent.size();
    EXPECT_EQ(message.error().code, Errc::kControl);
    ::close(fds_[0]);
    SetUp();
  }
}

TEST_F(ControlProtocolTest, MoreThanIsTakenIsRefusedBeforeItIsWaitedFor) {
  const MessageLimits limits{.json_max = 100, .payload_max = 0};
  for (const Bytes& header : {encode_message_header(MessageKind::kRequest, 101, 0),
                              encode_message_header(MessageKind::kRequest, 2, 1)}) {
    ASSERT_EQ(::send(fds_[1], header.data(), header.size(), 0),
              static_cast<ssize_t>(header.size()));
    const auto message = receive_message(fds_[0], {}, limits);
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error().sys_errno, EMSGSIZE);
  }
  send(std::string(100, ' '), {});
  EXPECT_TRUE(receive_message(fds_[0], {}, limits));
}

TEST_F(ControlProtocolTest, AnErrorThatNestsDeepIsNone) {
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  const Error error = decode_error(R"({"code":)" + deep + "}");
  EXPECT_EQ(error.code, Errc::kControl);
}

TEST_F(ControlProtocolTest, TheKernelSaysWhoThePeerIs) {
  const auto caller = caller_at(fds_[0], std::nullopt);
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->access, Caller::Access::kAll);
  EXPECT_EQ(caller->uid, ::geteuid());
  EXPECT_EQ(caller->pid, static_cast<std::uint32_t>(::getpid()));
  EXPECT_FALSE(caller_at(-1, std::nullopt));
}

TEST(FindGroup, TakesNamesAndNumbers) {
  EXPECT_EQ(find_group("root").value(), 0U);
  EXPECT_EQ(find_group("60321").value(), 60321U);
  for (const char* bad : {"", "no such group", "4294967295", "-1", "12x"}) {
    const auto group = find_group(bad);
    ASSERT_FALSE(group) << bad;
    EXPECT_EQ(group.error().code, Errc::kBadConfig);
  }
}

}  // namespace
}  // namespace amberfs
