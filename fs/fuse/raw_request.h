// SPDX-License-Identifier: Apache-2.0
// RawRequest: what libfuse 3.14 does not hand to handlers: a request's id and the flags by which
// the kernel asks to clear set-user-id bits; and capabilities of INIT that it cannot ask for.
// Flow:    fuse_session's read hook → peek_request → libfuse → handler → current_request.
//          libfuse's INIT reply → fuse_session's writev hook → patch_init_reply.
// Threads: libfuse calls a handler on the thread that read its request: one RawRequest a thread.
#pragma once

#include "blockstore/base/bytes.h"

#include <sys/uio.h>

#include <cstdint>

namespace amberfs {

struct RawRequest {
  std::uint32_t opcode = 0;
  std::uint64_t id = 0;                   // without the mark of a resent one
  bool resent = false;                    // an earlier server read it and did not answer
  bool kill_suid_sgid = false;            // WRITE, OPEN, CREATE
  std::uint64_t kernel_capabilities = 0;  // INIT: what the kernel offers
};

[[nodiscard]] const RawRequest& current_request();
// After INIT was read by this thread: whether the kernel (since 6.9) can send again what was read
// and not answered.
[[nodiscard]] bool kernel_can_resend();
// Remembers a request that was just read from the device, for this thread.
void peek_request(ByteView request);
// True when `parts` are the reply to INIT; they then also say HANDLE_KILLPRIV_V2 and that shared
// mappings of files opened with direct_io are fine, as far as the kernel offers it.
bool patch_init_reply(iovec* parts, int count);

}  // namespace amberfs
