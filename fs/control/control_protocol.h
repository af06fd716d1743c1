// SPDX-License-Identifier: Apache-2.0
// The control socket's messages: STORE/control.sock, a Unix stream socket, present while mounted.
// A message is a header {magic, kind, json size, payload size} and its two parts. A client sends
// one request and reads messages until the reply or the error; progress may come before. Untrusted:
// sizes are bounded, and memory grows only as bytes arrive; the server checks who asks.
// Format: docs/CONTROL.md.
#pragma once

#include "fs/service.h"

#include <span>
#include <string>

namespace amberfs {

enum class MessageKind : std::uint8_t { kRequest = 1, kReply = 2, kError = 3, kProgress = 4 };

struct Message {
  MessageKind kind = MessageKind::kRequest;
  std::string json;
  Bytes payload;
  std::size_t placed = 0;  // bytes of the payload that went where the receiver wanted them
};

constexpr std::size_t kControlJsonMax = 16 * kMiB;
constexpr std::size_t kControlPayloadMax = 4 * kMiB;

// What a receiver takes; the limits above are those of the protocol.
struct MessageLimits {
  std::size_t json_max = kControlJsonMax;
  std::size_t payload_max = kControlPayloadMax;
};

struct MessageHeader {
  MessageKind kind = MessageKind::kRequest;
  std::uint32_t json_size = 0;
  std::uint32_t payload_size = 0;
};
[[nodiscard]] Bytes encode_message_header(MessageKind kind, std::size_t json_size,
                                          std::size_t payload_size);
// Sizes are within the limits above when it succeeds.
[[nodiscard]] Result<MessageHeader> decode_message_header(ByteView bytes);

[[nodiscard]] Status send_message(int fd, const Message& message);
// kControl when the peer hung up. A payload that fits into `target` is put there (`placed`): file
// data in bulk is neither zero-filled nor copied once more.
[[nodiscard]] Result<Message> receive_message(int fd, std::span<char> target = {},
                                              const MessageLimits& limits = {});

// An Error across the socket and back, unchanged.
[[nodiscard]] std::string encode_error(const Error& error);
[[nodiscard]] Error decode_error(std::string_view json);

}  // namespace amberfs
