// SPDX-License-Identifier: Apache-2.0
// Messages of the control socket, over a pair of sockets.
#include "fs/control/control_protocol.h"

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

}  // namespace
}  // namespace amberfs
