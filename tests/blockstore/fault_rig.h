// SPDX-License-Identifier: Apache-2.0
// A pack store above a disk that fails, with an index that survives crashes.
#pragma once

#include "blockstore/pack_store.h"
#include "tests/blockstore/store_fixture.h"
#include "tests/support/fault_io.h"
#include "tests/support/memory_index.h"

namespace amberfs::testing {

struct FaultRig {
  explicit FaultRig(std::uint64_t pack_size_bytes, Form form = Form::kPlain) {
    options.pack_size_bytes = pack_size_bytes;
    options.cipher = cipher_of(form);
    must(posix->make_directory(dir / "packs"));
    io.track_unsynced();
  }
  Result<std::unique_ptr<PackStore>> open() {
    return PackStore::open(io, dir.path(), options, std::make_unique<MemoryIndex>(state));
  }

  TempDir dir;
  std::unique_ptr<Io> posix = make_posix_io();
  FaultIo io{*posix};
  std::shared_ptr<MemoryIndexState> state = std::make_shared<MemoryIndexState>();
  BlockStoreOptions options;
};

}  // namespace amberfs::testing
