// SPDX-License-Identifier: Apache-2.0
#include "fs/control/control_protocol.h"

#include "blockstore/base/coding.h"
#include "blockstore/base/flat_json.h"

#include <nlohmann/json.hpp>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace amberfs {
namespace {

constexpr std::uint32_t kMagic = 0x54434241;  // "ABCT"
constexpr std::size_t kHeaderSize = 16;

Status send_all(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return fail(Errc::kControl, errno, "send to the control socket");
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return ok();
}

// False when the peer hung up before the first byte.
Result<bool> receive_all(int fd, char* target, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::recv(fd, target + done, size - done, 0);
    if (got == 0) {
      if (done == 0) return false;
      return fail(Errc::kControl, 0, "receive from the control socket: cut off");
    }
    if (got < 0) {
      if (errno == EINTR) continue;
      return fail(Errc::kControl, errno, "receive from the control socket");
    }
    done += static_cast<std::size_t>(got);
  }
  return true;
}

// The rest of a message that has begun.
Status receive_part(int fd, char* target, std::size_t size) {
  TRY_ASSIGN(const bool more, receive_all(fd, target, size));
  if (!more) return fail(Errc::kControl, 0, "receive from the control socket: cut off");
  return ok();
}

// Who only says that much is coming takes no memory.
template <class Text>
Status receive_growing(int fd, Text& text, std::size_t size) {
  constexpr std::size_t kStep = 256 * kKiB;
  while (text.size() < size) {
    const std::size_t at = text.size();
    text.resize(std::min(size, at + std::max(at, kStep)));
    TRY(receive_part(fd, text.data() + at, text.size() - at));
  }
  return ok();
}

}  // namespace

Bytes encode_message_header(MessageKind kind, std::size_t json_size, std::size_t payload_size) {
  Encoder e;
  e.u32(kMagic).u8(static_cast<std::uint8_t>(kind)).u8(0).u16(0);
  e.u32(static_cast<std::uint32_t>(json_size)).u32(static_cast<std::uint32_t>(payload_size));
  return std::move(e).take();
}

Result<MessageHeader> decode_message_header(ByteView bytes) {
  Decoder d(bytes);
  const auto magic = d.u32();
  const auto kind = d.u8();
  d.u8();
  d.u16();
  MessageHeader header;
  header.json_size = d.u32();
  header.payload_size = d.u32();
  header.kind = static_cast<MessageKind>(kind);
  if (!d.done() || magic != kMagic || kind < 1 || kind > 4 || header.json_size > kControlJsonMax ||
      header.payload_size > kControlPayloadMax) {
    return fail(Errc::kControl, 0, "read a control message: not a valid header");
  }
  return header;
}

Status send_message(int fd, const Message& message) {
  if (message.json.size() > kControlJsonMax || message.payload.size() > kControlPayloadMax) {
    return fail(Errc::kControl, 0, "send to the control socket: the answer is too large");
  }
  Bytes bytes = encode_message_header(message.kind, message.json.size(), message.payload.size());
  bytes += message.json;
  TRY(send_all(fd, bytes));
  return send_all(fd, message.payload);
}

Result<Message> receive_message(int fd, std::span<char> target, const MessageLimits& limits) {
  std::array<char, kHeaderSize> raw{};
  TRY_ASSIGN(bool more, receive_all(fd, raw.data(), raw.size()));
  if (!more) return fail(Errc::kControl, ECONNRESET, "receive from the control socket");
  TRY_ASSIGN(MessageHeader header, decode_message_header({raw.data(), raw.size()}));
  Message message;
  message.kind = header.kind;
  if (header.json_size > limits.json_max || header.payload_size > limits.payload_max) {
    return fail(Errc::kControl, EMSGSIZE, "receive from the control socket: more than is taken");
  }
  TRY(receive_growing(fd, message.json, header.json_size));
  if (header.payload_size <= target.size()) {
    message.placed = header.payload_size;
    TRY(receive_part(fd, target.data(), message.placed));
    return message;
  }
  TRY(receive_growing(fd, message.payload, header.payload_size));
  return message;
}

std::string encode_error(const Error& error) {
  const nlohmann::json json{{"code", errc_name(error.code)},  {"errno", error.sys_errno},
                            {"tried", error.tried},           {"object", error.object},
                            {"exit_code", error.exit_code()}, {"message", error.to_string()}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Error decode_error(std::string_view text) {
  const auto json = parse_flat_json(text);
  const auto member = [&](const char* key) {
    return json.is_object() && json.contains(key) ? json.at(key) : nlohmann::json();
  };
  const auto code = member("code");
  const auto tried = member("tried");
  const auto object = member("object");
  const auto sys_errno = member("errno");
  const auto known = code.is_string() ? errc_from_name(code.get<std::string>()) : std::nullopt;
  if (!known || !tried.is_string() || !object.is_string() || !sys_errno.is_number_integer()) {
    return {Errc::kControl, 0, "read the server's error", std::string(text.substr(0, 200))};
  }
  return {*known, sys_errno.get<int>(), tried.get<std::string>(), object.get<std::string>()};
}

}  // namespace amberfs
