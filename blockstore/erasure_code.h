// SPDX-License-Identifier: Apache-2.0
// ErasureCode: Reed-Solomon over GF(2^8). From k data rows it makes m parity rows of the same
// length; any m rows that are lost, data or parity, come back from the others, byte column by byte
// column. It cannot tell which rows are lost: checksums do (parity_format.h).
// Threads: immutable once made, safe everywhere.
// Owns:    its coefficients; rows are the caller's.
// Errors:  kCorrupt when more rows are lost than there is parity for.
// Format:  the coefficients are on disk in what they made: docs/format/parity.md.
#pragma once

#include "blockstore/base/bytes.h"
#include "blockstore/base/result.h"

#include <span>
#include <vector>

namespace amberfs {

class ErasureCode {
 public:
  static constexpr unsigned kRowsMax = 255;  // data and parity

  // `data_rows` ≥ 1, `parity_rows` ≥ 1, together at most kRowsMax.
  ErasureCode(unsigned data_rows, unsigned parity_rows);

  // Fills the parity rows. `rows` are pointers to all rows, data before parity, of `size` bytes.
  void encode(std::size_t size, std::span<char* const> rows) const;
  // Fills the rows named by `lost` (ascending numbers, data before parity) from the others.
  [[nodiscard]] Status restore(std::size_t size, std::span<char* const> rows,
                               std::span<const unsigned> lost) const;

 private:
  [[nodiscard]] unsigned char coefficient(unsigned parity_row, unsigned data_row) const {
    return matrix_[(data_rows_ + parity_row) * data_rows_ + data_row];
  }
  [[nodiscard]] Status restore_data(std::size_t size, std::span<char* const> rows,
                                    std::span<const unsigned> lost_data,
                                    std::span<const unsigned> parity) const;

  const unsigned data_rows_;
  const unsigned parity_rows_;
  std::vector<unsigned char> matrix_;  // (k + m) × k, by rows: identity, then Cauchy
  std::vector<unsigned char> tables_;  // of its parity part, as the library wants them
};

}  // namespace amberfs
