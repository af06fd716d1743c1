// SPDX-License-Identifier: Apache-2.0
// Bytes from the kernel's random source: by the kernel's own code in the vDSO where it has it
// (Linux 6.11), a tenth of the time of the system call getrandom(2); else by that call. Both give
// the same: the vDSO's state is thrown away by the kernel when its generator reseeds (a virtual
// machine that is resumed), zero in a forked child, never swapped, in no core file. What has been
// given is erased from it. No generator of our own stands in between.
// Threads: any, beside each other. Not from signal handlers.
// Errors:  none: it waits until the source is ready.
#pragma once

#include <cstddef>

namespace amberfs {

void fill_random(char* target, std::size_t size);

}  // namespace amberfs
