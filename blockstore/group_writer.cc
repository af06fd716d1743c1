// SPDX-License-Identifier: Apache-2.0
#include "blockstore/group_writer.h"

#include "blockstore/base/mutex.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <system_error>

namespace amberfs {
namespace {

constexpr std::chrono::milliseconds kLookEvery{50};

// Low: whatever else runs on the machine goes first. Somebody who waits for it is not to wait for
// ever on a busy one: a little behind the others. Where it is refused it is only slower for others.
void yield_to_others(bool low_priority) {
  constexpr int kLowest = 19;
  constexpr int kALittle = 5;
  const sched_param none{};
  if (low_priority && ::sched_setscheduler(0, SCHED_IDLE, &none) == 0) return;
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()),
                      low_priority ? kLowest : kALittle);
}

}  // namespace

// A thread that compresses a group. Told to stop it must not wait for its turn behind all others:
// on a busy machine an unmount would take minutes.
class GroupWriter::Worker {
 public:
  [[nodiscard]] bool goes_on() const { return !stopping_; }
  void begin(bool low_priority) {
    MutexLock lock(mu_);
    thread_ = ::gettid();
    if (goes_on()) yield_to_others(low_priority);
  }
  void end() {
    MutexLock lock(mu_);
    thread_ = 0;
  }
  void stop() {
    MutexLock lock(mu_);
    stopping_ = true;
    if (thread_ == 0) return;
    const sched_param none{};
    (void)::sched_setscheduler(thread_, SCHED_OTHER, &none);
    (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(thread_), 0);
  }

  std::future<Work> result;  // last: its thread uses the rest

 private:
  Mutex mu_;
  pid_t thread_ GUARDED_BY(mu_) = 0;
  std::atomic<bool> stopping_ = false;
};

GroupWriter::GroupWriter(const CompactOptions& options, std::uint64_t pack_size_bytes,
                         const FrameCipher& frames, NewPack new_pack,
                         std::function<bool()> keep_going)
    : options_(options),
      pack_size_bytes_(pack_size_bytes),
      frames_(frames),
      new_pack_(std::move(new_pack)),
      keep_going_(std::move(keep_going)) {}

GroupWriter::~GroupWriter() {
  stop();
}

void GroupWriter::stop() {
  for (const auto& worker : working_) worker->stop();
}

Status GroupWriter::add(const BlockId& id, const BlockLocation& from, ByteView bytes) {
  if (!fits_in_group(bytes.size())) {
    TRY(end_group());
    Work work{.from = {from}, .grouped = false, .id = id};
    work.group.members.push_back({id, from.kind, 0, static_cast<std::uint32_t>(bytes.size())});
    work.group.plain = bytes;
    return start(std::move(work));
  }
  const std::uint64_t target =
      from.kind == BlockKind::kNode ? options_.node_group_bytes : options_.data_group_bytes;
  const bool full = !builder_.empty() && builder_.plain_bytes_with(bytes.size()) > target;
  if (from.kind != kind_ || full || !builder_.has_room(bytes.size())) TRY(end_group());
  kind_ = from.kind;
  builder_.add(id, from.kind, bytes);
  from_.push_back(from);
  return ok();
}

Status GroupWriter::end_group() {
  if (builder_.empty()) return ok();
  Work work{.from = std::exchange(from_, {}), .group = builder_.take()};
  return start(std::move(work));
}

GroupWriter::Work GroupWriter::encode(Worker& worker, Work work) const {
  worker.begin(options_.low_priority);
  if (work.grouped) work.id = frames_.id_of(work.group.plain);
  work.codec = encode_long(work.group.plain, options_.zstd_level, work.encoded, [&] {
                 return worker.goes_on();
               }).codec;
  worker.end();
  return work;
}

Status GroupWriter::start(Work work) {
  while (working_.size() >= std::max(1U, options_.threads)) TRY(write_oldest());
  try {
    auto worker = std::make_unique<Worker>();
    worker->result = std::async(std::launch::async, &GroupWriter::encode, this, std::ref(*worker),
                                std::move(work));
    working_.push_back(std::move(worker));
    return ok();
  } catch (const std::system_error& e) {
    return fail(Errc::kOutOfMemory, 0, std::string("compress a group: ") + e.what());
  }
}

Status GroupWriter::write_oldest() {
  while (working_.front()->result.wait_for(kLookEvery) != std::future_status::ready) {
    if (keep_going_()) continue;
    stop();
    return fail(Errc::kBroken, 0, "compress groups: told to stop");
  }
  const auto oldest = std::move(working_.front());
  working_.pop_front();
  try {
    return write(oldest->result.get());
  } catch (const std::exception& e) {
    return fail(Errc::kOutOfMemory, 0, std::string("compress a group: ") + e.what());
  }
}

Status GroupWriter::write(Work work) {
  if (packs_.empty() || packs_.back().writer->length() >= pack_size_bytes_) {
    if (!packs_.empty()) TRY(packs_.back().writer->seal());
    TRY_ASSIGN(Pack pack, new_pack_());
    packs_.push_back(std::move(pack));
  }
  const Pack& pack = packs_.back();
  const Bytes& plain = work.group.plain;
  const ByteView encoded = work.codec == Codec::kRaw ? plain : work.encoded;
  const auto kind = static_cast<std::uint8_t>(work.group.members.front().kind);
  const FrameHeader header{.type = work.grouped ? FrameType::kGroup : FrameType{kind},
                           .codec = work.codec,
                           .plain_size = static_cast<std::uint32_t>(plain.size()),
                           .id = work.id};
  const StoredFrame frame = frames_.store(pack.writer->id(), header, encoded);
  TRY_ASSIGN(std::uint64_t offset, pack.writer->append(frame));
  for (std::size_t i = 0; i < work.group.members.size(); ++i) {
    const GroupMember& member = work.group.members[i];
    moves_.push_back({member.id,
                      work.from[i],
                      {.pack = pack.number,
                       .offset = offset,
                       .stored_size = frame.header.stored_size,
                       .plain_size = member.size,
                       .kind = member.kind,
                       .codec = header.codec,
                       .group_offset = member.offset,
                       .group_size = work.grouped ? header.plain_size : 0}});
  }
  return ok();
}

Status GroupWriter::finish() {
  TRY(end_group());
  while (!working_.empty()) TRY(write_oldest());
  return packs_.empty() ? ok() : packs_.back().writer->seal();
}

}  // namespace amberfs
