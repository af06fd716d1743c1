// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/raw_request.h"

#include <linux/fuse.h>

#include <cstring>

namespace amberfs {
namespace {

// Newer than Debian 12's <linux/fuse.h>.
constexpr std::uint64_t kDirectIoAllowMmap = std::uint64_t{1} << 36;
constexpr std::uint64_t kHasResend = std::uint64_t{1} << 39;
constexpr std::uint64_t kResent = std::uint64_t{1} << 63;

thread_local RawRequest request_of_thread;

template <class T>
bool read_struct(ByteView bytes, T& target) {
  if (bytes.size() < sizeof(T)) return false;
  std::memcpy(&target, bytes.data(), sizeof(T));
  return true;
}

bool asks_to_kill(std::uint32_t opcode, ByteView body) {
  fuse_write_in write{};
  fuse_open_in open{};
  fuse_create_in create{};
  switch (opcode) {
    case FUSE_WRITE:
      return read_struct(body, write) && (write.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
    case FUSE_OPEN:
      return read_struct(body, open) && (open.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
    case FUSE_CREATE:
      return read_struct(body, create) && (create.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
    default:
      return false;
  }
}

std::uint64_t offered(ByteView body) {
  fuse_init_in init{};
  if (!read_struct(body, init)) return 0;
  const bool extended = (init.flags & FUSE_INIT_EXT) != 0;
  return init.flags | (extended ? std::uint64_t{init.flags2} << 32 : 0);
}

}  // namespace

const RawRequest& current_request() {
  return request_of_thread;
}

bool kernel_can_resend() {
  return (request_of_thread.kernel_capabilities & kHasResend) != 0;
}

void peek_request(ByteView request) {
  fuse_in_header header{};
  request_of_thread = {};
  if (!read_struct(request, header)) return;
  const ByteView body = request.substr(sizeof header);
  request_of_thread.opcode = header.opcode;
  request_of_thread.id = header.unique & ~kResent;
  request_of_thread.resent = (header.unique & kResent) != 0;
  request_of_thread.kill_suid_sgid = asks_to_kill(header.opcode, body);
  if (header.opcode == FUSE_INIT) request_of_thread.kernel_capabilities = offered(body);
}

bool patch_init_reply(iovec* parts, int count) {
  if (request_of_thread.opcode != FUSE_INIT || count != 2) return false;
  fuse_out_header header{};
  fuse_init_out init{};
  std::memcpy(&header, parts[0].iov_base, sizeof header);
  if (header.unique != request_of_thread.id || header.error != 0) return false;
  if (parts[1].iov_len < sizeof init) return true;
  std::memcpy(&init, parts[1].iov_base, sizeof init);
  const std::uint64_t both = request_of_thread.kernel_capabilities;
  init.flags |= static_cast<std::uint32_t>(both) & FUSE_HANDLE_KILLPRIV_V2;
  init.flags2 |= static_cast<std::uint32_t>((both & kDirectIoAllowMmap) >> 32);
  std::memcpy(parts[1].iov_base, &init, sizeof init);
  return true;
}

}  // namespace amberfs
