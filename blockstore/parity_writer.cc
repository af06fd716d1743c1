// SPDX-License-Identifier: Apache-2.0
#include "blockstore/parity_writer.h"

#include "blockstore/base/coding.h"
#include "blockstore/base/log.h"
#include "blockstore/erasure_code.h"
#include "blockstore/pack_look.h"

#include <algorithm>
#include <cerrno>

namespace amberfs {
namespace {

// Of each row at once; the rows of a column of shards are far from each other in the pack.
constexpr std::uint64_t kWindowBytes = 32 * kKiB;

class ParityWriter {
 public:
  ParityWriter(File& pack, File& target, const ParityGeometry& geometry)
      : pack_(pack),
        target_(target),
        geometry_(geometry),
        code_(geometry.data_rows, geometry.parity_rows),
        table_(geometry.table_size(), '\0') {}

  Status write(const PackId& id, Pace& pace) {
    const std::uint64_t window = std::max<std::uint64_t>(1, kWindowBytes / geometry_.shard_size);
    for (std::uint64_t column = 0; column < geometry_.columns(); column += window) {
      const std::uint64_t count = std::min(window, geometry_.columns() - column);
      TRY(write_columns(column, count));
      if (!pace.took(count * geometry_.shard_size * geometry_.data_rows)) {
        return fail(Errc::kBroken, 0, "write parity: stopped", target_.path());
      }
    }
    const Bytes header = encode_parity_header({id, geometry_, xxh3(table_)});
    TRY(target_.pwrite(header, 0));
    TRY(target_.pwrite(table_, kParityHeaderSize));
    TRY(target_.pwrite(table_, geometry_.second_table_offset()));
    TRY(target_.pwrite(header, geometry_.second_header_offset()));
    TRY(target_.sync_data());
    return target_.close();
  }

 private:
  Status write_columns(std::uint64_t column, std::uint64_t count) {
    const std::uint64_t size = count * geometry_.shard_size;
    const unsigned all = geometry_.data_rows + geometry_.parity_rows;
    buffer_.assign(size * all, '\0');
    std::vector<char*> rows(all);
    for (unsigned row = 0; row < all; ++row) rows[row] = buffer_.data() + row * size;
    for (unsigned row = 0; row < geometry_.data_rows; ++row) {
      const std::uint64_t offset = row * geometry_.row_size() + column * geometry_.shard_size;
      if (offset >= geometry_.pack_size) continue;
      TRY(pack_.pread_exact(rows[row], std::min(size, geometry_.pack_size - offset), offset));
    }
    code_.encode(size, rows);
    for (unsigned row = 0; row < all; ++row) note_checksums(row, column, {rows[row], size});
    for (unsigned row = geometry_.data_rows; row < all; ++row) {
      const std::uint64_t parity_row = row - geometry_.data_rows;
      TRY(target_.pwrite({rows[row], size}, geometry_.rows_offset() +
                                                parity_row * geometry_.row_size() +
                                                column * geometry_.shard_size));
    }
    return ok();
  }

  void note_checksums(unsigned row, std::uint64_t column, ByteView bytes) {
    for (std::uint64_t shard = row * geometry_.columns() + column; !bytes.empty(); ++shard) {
      store_le(table_.data() + shard * sizeof(std::uint64_t),
               xxh3(bytes.substr(0, geometry_.shard_size)));
      bytes.remove_prefix(geometry_.shard_size);
    }
  }

  File& pack_;
  File& target_;
  const ParityGeometry geometry_;
  const ErasureCode code_;
  Bytes table_;
  Bytes buffer_;
};

Status unlink_if_there(Io& io, const std::string& path) {
  TRY_ASSIGN(const bool there, io.exists(path));
  return there ? io.unlink(path) : ok();
}

// A pack that has rotted already would come back as it is, so it is looked at first.
Status require_sound(File& pack, const PackId& id, std::uint64_t pack_size) {
  Pace at_once;
  TRY_ASSIGN(const PackLook look,
             look_at_pack(pack, {.id = id, .length = pack_size, .sealed = true}, at_once));
  if (look.is_sound()) return ok();
  return fail(Errc::kCorrupt, 0, "write parity: the pack is damaged", pack.path());
}

}  // namespace

Result<std::uint64_t> write_parity(Io& io, const std::string& packs_directory, const PackId& id,
                                   std::uint64_t pack_size, unsigned percent, Pace& pace) {
  TRY_ASSIGN(auto pack, io.open(packs_directory + "/" + pack_file_name(id), OpenMode::kRead));
  TRY(require_sound(*pack, id, pack_size));
  const ParityGeometry geometry = choose_parity_geometry(pack_size, percent);
  const std::string path = packs_directory + "/" + parity_file_name(id);
  const std::string beside = packs_directory + "/" + unfinished_parity_file_name(id);
  TRY(unlink_if_there(io, beside));
  TRY_ASSIGN(auto target, io.open(beside, OpenMode::kCreateNew));
  Status written = ParityWriter(*pack, *target, geometry).write(id, pace);
  if (written) written = io.rename(beside, path);
  if (!written) {
    if (Status removed = io.unlink(beside); !removed && removed.error().sys_errno != ENOENT) {
      log_warning("an unfinished parity file stays until the store is opened again: {}",
                  removed.error().to_string());
    }
    return fail(std::move(written).error());
  }
  TRY(io.sync_directory(packs_directory + "/" + pack_directory(id)));
  return geometry.file_size();
}

}  // namespace amberfs
