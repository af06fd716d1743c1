// SPDX-License-Identifier: Apache-2.0
// Service: the commands, as requests and replies. The mounted server answers them from the control
// socket, an unmounted store answers the same requests in the tool's own process: one
// implementation, so the same answer.
//   request  {"command": "snapshot", …}         reply  {…} plus, for "read", raw bytes
// Requests and replies of every command: docs/CONTROL.md.
// Threads: call() from any thread that serves no FUSE request.
// Owns:    nothing; borrows the engine.
// Errors:  the Error of what failed; kBadRequest for a request that is not understood.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/result.h"

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <string>

namespace amberfs {

class Engine;

struct Reply {
  std::string json;  // an object
  Bytes payload;     // bytes of "read"; else empty
};

// Who asks. What a reader may ask for: fs/service_access.h.
struct Caller {
  enum class Access : std::uint8_t { kRead, kAll };
  Access access = Access::kAll;
  std::uint32_t uid = 0;
  std::uint32_t pid = 0;  // 0: not known
};

// Progress of long work: {"done": 12, "total": 345, "what": "verify"}.
using ProgressSink = std::function<void(const std::string& json)>;

class Service {
 public:
  explicit Service(Engine& engine) : engine_(engine) {}
  // kDenied for what the caller may not ask for.
  [[nodiscard]] Result<Reply> call(std::string_view request_json, const ProgressSink& progress,
                                   const Caller& caller = {});

 private:
  Engine& engine_;
};

}  // namespace amberfs
