// SPDX-License-Identifier: Apache-2.0
// Memory: what the server does about running short of it. Its own use is bounded by [memory] budget
// of config.toml: half of it at most for decoded blocks, an eighth for changes not yet committed
// (a commit copies them, and the trees it makes are of that size), and who changes more waits for
// the commit. What is beyond its power, other programs that leave nothing, is met so:
//   the kernel looks for a victim      it is told to take nearly any other process first
//   an allocation fails                a reserve is given back and the log says so; when the next
//   one
//                                      fails, too, the process ends at once. Nothing is lost by it
//                                      (I4), while half an operation in memory would be wrong.
// Threads: call both before other threads start.
#pragma once

namespace amberfs {

// Best effort: an ordinary user may not.
void lower_oom_score();
void keep_memory_reserve();

}  // namespace amberfs
