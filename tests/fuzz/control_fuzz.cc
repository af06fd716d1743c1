// SPDX-License-Identifier: Apache-2.0
// The control socket, from both ends. The first byte chooses: 0 gives the bytes to a server's
// reader of messages, 1 to a client that waits for a reply, 2 takes them for the JSON of a request
// to a small store (all commands), 3 the same for one who may only read, 4 for an error's JSON.
// What is asked for is answered or refused, and afterwards the store is well.
#include "fs/check.h"
#include "fs/control/control_protocol.h"
#include "fs/engine.h"
#include "fs/path_text.h"
#include "fs/service_access.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <memory>

namespace amberfs {
namespace {

using fuzz::require;
using Json = nlohmann::json;

// As much as a socket buffers, so that nobody has to read beside it.
constexpr std::size_t kInputSizeMax = 64 * kKiB;

void receive_all_of(ByteView input, bool as_client) {
  std::array<int, 2> ends{};
  require(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
  require(::send(ends[1], input.data(), input.size(), 0) == static_cast<ssize_t>(input.size()));
  ::close(ends[1]);
  std::array<char, 64> target{};
  const MessageLimits limits =
      as_client ? MessageLimits{} : MessageLimits{.json_max = 4 * kKiB, .payload_max = 0};
  std::size_t taken = 0;
  while (const auto message =
             receive_message(ends[0], as_client ? std::span(target) : std::span<char>(), limits)) {
    require(message->json.size() <= limits.json_max);
    taken += message->json.size() + message->payload.size() + message->placed;
    require(taken <= input.size());
    if (message->kind == MessageKind::kError) (void)decode_error(message->json);
  }
  ::close(ends[0]);
}

// A store that is opened once; requests change it, which is why it is made anew now and then.
class Store {
 public:
  Store() {
    require(Engine::create(*io_, directory_ / "store", config()).has_value());
    auto opened = Engine::open(*io_, directory_ / "store");
    require(opened.has_value());
    engine_ = *std::move(opened);
    FileSystem& fs = engine_->filesystem();
    const auto make = [&](Ino parent, ByteView name, std::uint32_t mode) {
      const auto made = fs.make({}, parent, name, {.mode = mode});
      require(made.has_value());
      return made->ino;
    };
    const Ino folder = make(kRootIno, "d", S_IFDIR | 0755);
    const Ino file = make(folder, "b.log", S_IFREG | 0644);
    require(fs.write({}, file, 0, "1\n2\n3\n", {}).has_value());
    require(fs.link({}, file, kRootIno, "other").has_value());
    require(fs.symlink({}, kRootIno, "link", "d").has_value());
    require(engine_->snapshot({.name = "good"}).has_value());
    require(fs.write({}, file, 2, "two", {}).has_value());
  }
  ~Store() { require(engine_->close().has_value()); }

  void ask(ByteView request, const Caller& caller) {
    const auto reply = Service(*engine_).call(request, {}, caller);
    require(reply ? Json::accept(reply->json) : !reply.error().to_string().empty());
  }
  void check() {
    const auto report = check_view(*engine_->live_view());
    require(report && report->findings.empty() && report->totals == engine_->live().totals());
  }
  [[nodiscard]] std::size_t snapshots() { return engine_->catalog().count(); }

 private:
  static std::string config() { return default_config_text(std::string(32, '0')); }

  const testing::TempDir directory_;
  const std::unique_ptr<Io> io_ = make_posix_io();
  std::unique_ptr<Engine> engine_;
};

// Of collections a run takes a second, of spare segments tens of MiB.
bool is_slow(ByteView request) {
  const Json json = Json::parse(request, nullptr, false);
  if (!json.is_object()) return false;
  const auto command = json.find("command");
  return command != json.end() && command->is_string() &&
         (*command == "gc" || *command == "hand_over");
}

void ask_store(ByteView request, const Caller& caller) {
  constexpr int kRequestsMax = 500;
  constexpr std::size_t kSnapshotsMax = 40;
  // Never destroyed: OpenSSL may be gone before it at the end of the process.
  static auto& store = *new std::unique_ptr<Store>;
  static int requests = 0;
  if (is_slow(request)) return;
  if (!store) store = std::make_unique<Store>();
  const std::size_t snapshots = store->snapshots();
  store->ask(request, caller);
  if (caller.access == Caller::Access::kRead) require(store->snapshots() == snapshots);
  if (++requests % 16 == 0) store->check();
  if (requests >= kRequestsMax || store->snapshots() > kSnapshotsMax) {
    store->check();
    store.reset();
    requests = 0;
  }
}

}  // namespace

void fuzz::add_seeds(const std::function<void(Bytes)>& add) {
  const std::string good = R"({"code":"kNoSuchPath","errno":2,"tried":"find","object":"/x"})";
  const Bytes request =
      encode_message_header(MessageKind::kRequest, 18, 0) + R"({"command":"list"})";
  add('\0' + request + request);
  add('\1' + encode_message_header(MessageKind::kProgress, 2, 0) + "{}" +
      encode_message_header(MessageKind::kReply, 2, 4) + "{}abcd");
  add('\1' + encode_message_header(MessageKind::kError, good.size(), 0) + good);
  add('\4' + good);
  for (const char* text : {
           R"({"command":"list","after":0})",
           R"({"command":"snapshot","name":"n","reason":"r","skip_if_unchanged":true})",
           R"({"command":"resolve","snap":"latest~0"})",
           R"({"command":"rollback","snap":"good","force":true})",
           R"({"command":"commit"})",
           R"({"command":"diff","from":"good","to":"live","paths":["d"],"lines":true})",
           R"({"command":"restore","snap":"good","paths":["d/*.log"],"exact":true})",
           R"({"command":"restore","snap":"good","paths":["d"],"lines":true,"dry_run":true})",
           R"({"command":"stat","view":"good","path":"d\\x2fb.log"})",
           R"({"command":"readdir","view":"live","path":"/","after":3})",
           R"({"command":"readlink","view":"good","path":"link"})",
           R"({"command":"xattrs","view":"good","path":"d"})",
           R"({"command":"read","view":"good","path":"other","offset":1,"size":3})",
           R"({"command":"next_data","view":"good","path":"other","offset":1})",
           R"({"command":"match","view":"good","paths":["**/b*","o?her"]})",
           R"({"command":"status"})",
           R"({"command":"verify","full":true})",
           R"({"command":"audit","since":"2026-11-20"})",
           R"({"command":"audit_show","number":1,"offset":0})",
           R"({"command":"forget","snaps":["good"],"reason":"r"})",
           R"({"command":"seal"})",
           R"({"command":"mend_chain"})",
           R"({"command":"prove","snap":"good","path":"d/b.log","from":0,"to":3,"offset":0})",
           R"({"command":"scrub"})",
       }) {
    add('\2' + Bytes(text));
    add('\3' + Bytes(text));
  }
}

}  // namespace amberfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace amberfs;
  if (size == 0 || size > kInputSizeMax) return 0;
  const ByteView input = fuzz::as_bytes(data + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
    case 1:
      receive_all_of(input, data[0] % 5 == 1);
      break;
    case 4:
      (void)encode_error(decode_error(input));
      (void)decode_path(input);
      break;
    default:
      ask_store(input, {.access = data[0] % 5 == 3 ? Caller::Access::kRead : Caller::Access::kAll});
  }
  return 0;
}
