// SPDX-License-Identifier: Apache-2.0
#include "fs/durable_mark.h"

#include "blockstore/base/clock.h"
#include "blockstore/base/coding.h"
#include "blockstore/base/hash.h"
#include "blockstore/base/log.h"

namespace amberfs {
namespace {

constexpr std::uint32_t kMagic = 0x4D444A41;  // "AJDM"
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChecksumOffset = DurableMark::kSlotSize - sizeof(std::uint64_t);

}  // namespace

Bytes encode_durable_state(const DurableState& state) {
  const JournalLoss loss = state.loss.value_or(JournalLoss{});
  Encoder out;
  out.u32(kMagic).u32(kVersion).u64(state.generation);
  out.u64(state.end.segment).u64(state.end.offset).u64(state.end.next_seq).i64(state.time_ns);
  out.u64(loss.first_seq).u64(loss.last_seq).i64(loss.found_ns).i64(loss.durable_ns);
  out.u64(xxh3(out.view()));
  return std::move(out).take();
}

Result<DurableState> decode_durable_state(ByteView bytes) {
  Decoder in(bytes);
  const std::uint32_t magic = in.u32();
  const std::uint32_t version = in.u32();
  DurableState state;
  state.generation = in.u64();
  state.end.segment = in.u64();
  state.end.offset = in.u64();
  state.end.next_seq = in.u64();
  state.time_ns = in.i64();
  JournalLoss loss;
  loss.first_seq = in.u64();
  loss.last_seq = in.u64();
  loss.found_ns = in.i64();
  loss.durable_ns = in.i64();
  const std::uint64_t checksum = in.u64();
  if (!in.ok() || magic != kMagic || checksum != xxh3(bytes.substr(0, kChecksumOffset))) {
    return fail(Errc::kCorrupt, 0, "mark of the journal: magic or checksum do not match");
  }
  if (version > kVersion) {
    return fail(Errc::kNewerFormat, 0,
                "mark of the journal has version " + std::to_string(version));
  }
  if (loss.first_seq != 0) state.loss = loss;
  return state;
}

Status DurableMark::load() {
  TRY_ASSIGN(const bool there, io_.exists(path_));
  if (!there) return ok();
  TRY_ASSIGN(auto file, io_.open(path_, OpenMode::kRead));
  DurableState newest;
  for (const std::uint64_t offset : {std::uint64_t{0}, kSlotDistance}) {
    Bytes slot(kSlotSize, '\0');
    const auto got = file->pread_some(slot.data(), slot.size(), offset);
    // The disk cannot read it: as if it were damaged.
    if (!got) log_warning("journal: {}", got.error().to_string());
    auto state = decode_durable_state(ByteView(slot).substr(0, got.value_or(0)));
    if (!state && state.error().code == Errc::kNewerFormat) return fail(std::move(state).error());
    if (state && state->generation > newest.generation) newest = *std::move(state);
  }
  MutexLock lock(mu_);
  state_ = std::move(newest);
  return ok();
}

DurableState DurableMark::state() {
  MutexLock lock(mu_);
  return state_;
}

Status DurableMark::write(DurableState next) {
  next.generation = state_.generation + 1;
  next.time_ns = now_ns();
  if (!file_) {
    TRY_ASSIGN(file_, io_.open(path_, OpenMode::kCreateOrOpen));
  }
  const std::uint64_t offset = next.generation % 2 == 0 ? 0 : kSlotDistance;
  TRY(file_->pwrite(encode_durable_state(next), offset));
  state_ = std::move(next);
  return ok();
}

Status DurableMark::note(const JournalPosition& end) {
  MutexLock lock(mu_);
  return write({.end = end, .loss = state_.loss});
}

Status DurableMark::note_loss(const JournalPosition& end, std::optional<JournalLoss> loss) {
  MutexLock lock(mu_);
  TRY(write({.end = end, .loss = std::move(loss)}));
  return file_->sync_data();
}

Status DurableMark::close() {
  MutexLock lock(mu_);
  if (!file_) return ok();
  return std::exchange(file_, nullptr)->close();
}

}  // namespace amberfs
