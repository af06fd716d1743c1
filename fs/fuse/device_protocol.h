// SPDX-License-Identifier: Apache-2.0
// What the keeper and the servers know alike of the kernel's protocol on /dev/fuse. The keeper
// links nothing of ours, so this is all in the header.
#pragma once

#include <linux/fuse.h>

#include <cstdint>

namespace amberfs {

// False for messages that the kernel sends and forgets.
[[nodiscard]] constexpr bool awaits_answer(std::uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

// Written to the device, asks the kernel (since 6.9) to put what was read and not answered back in
// front of its queue.
[[nodiscard]] constexpr fuse_out_header resend_notice() {
  constexpr int kNotifyResend = 7;  // newer than Debian 12's <linux/fuse.h>
  fuse_out_header notice{};
  notice.len = sizeof notice;
  notice.error = kNotifyResend;
  return notice;
}

}  // namespace amberfs
