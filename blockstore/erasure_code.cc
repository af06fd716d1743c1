// SPDX-License-Identifier: Apache-2.0
#include "blockstore/erasure_code.h"

#include <isa-l/erasure_code.h>

#include <algorithm>

namespace amberfs {
namespace {

constexpr std::size_t kTableBytes = 32;  // of one coefficient

// target[i] = Σ coefficients[i][j] · source[j], for every byte of `size`.
void multiply(std::size_t size, std::vector<unsigned char>& coefficients,
              std::span<char* const> source, std::span<char* const> target) {
  const int columns = static_cast<int>(source.size());
  const int rows = static_cast<int>(target.size());
  std::vector<unsigned char> tables(kTableBytes * source.size() * target.size());
  ec_init_tables(columns, rows, coefficients.data(), tables.data());
  std::vector<unsigned char*> from(source.size());
  std::vector<unsigned char*> to(target.size());
  const auto unsigned_of = [](char* row) { return reinterpret_cast<unsigned char*>(row); };
  std::ranges::transform(source, from.begin(), unsigned_of);
  std::ranges::transform(target, to.begin(), unsigned_of);
  ec_encode_data(static_cast<int>(size), columns, rows, tables.data(), from.data(), to.data());
}

}  // namespace

ErasureCode::ErasureCode(unsigned data_rows, unsigned parity_rows)
    : data_rows_(data_rows),
      parity_rows_(parity_rows),
      matrix_(std::size_t{data_rows + parity_rows} * data_rows),
      tables_(kTableBytes * data_rows * parity_rows) {
  // Cauchy: every square part of it can be inverted, so any m rows come back. (The library's other
  // kind of matrix does not promise that for so many rows.)
  gf_gen_cauchy1_matrix(matrix_.data(), static_cast<int>(data_rows + parity_rows),
                        static_cast<int>(data_rows));
  ec_init_tables(static_cast<int>(data_rows), static_cast<int>(parity_rows),
                 matrix_.data() + std::size_t{data_rows} * data_rows, tables_.data());
}

void ErasureCode::encode(std::size_t size, std::span<char* const> rows) const {
  std::vector<unsigned char*> all(rows.size());
  std::ranges::transform(rows, all.begin(),
                         [](char* row) { return reinterpret_cast<unsigned char*>(row); });
  // The library only reads the tables, whatever its types say.
  ec_encode_data(static_cast<int>(size), static_cast<int>(data_rows_),
                 static_cast<int>(parity_rows_), const_cast<unsigned char*>(tables_.data()),
                 all.data(), all.data() + data_rows_);
}

Status ErasureCode::restore(std::size_t size, std::span<char* const> rows,
                            std::span<const unsigned> lost) const {
  const auto first_parity = std::ranges::lower_bound(lost, data_rows_);
  const std::span<const unsigned> lost_data(lost.begin(), first_parity);
  std::vector<unsigned> parity;  // that is there
  for (unsigned i = 0; i < parity_rows_; ++i) {
    if (!std::ranges::binary_search(lost, data_rows_ + i)) parity.push_back(i);
  }
  if (lost_data.size() > parity.size()) {
    return fail(Errc::kCorrupt, 0, "more is lost than parity can bring back");
  }
  parity.resize(lost_data.size());
  if (!lost_data.empty()) TRY(restore_data(size, rows, lost_data, parity));
  if (first_parity == lost.end()) return ok();
  std::vector<unsigned char> coefficients;
  std::vector<char*> targets;
  for (auto it = first_parity; it != lost.end(); ++it) {
    const auto begin = matrix_.begin() + std::ptrdiff_t{*it} * data_rows_;
    coefficients.insert(coefficients.end(), begin, begin + data_rows_);
    targets.push_back(rows[*it]);
  }
  multiply(size, coefficients, rows.first(data_rows_), targets);
  return ok();
}

// As many parity rows as there are lost data rows, each a sum over all data rows: taking the sums
// of those that are there away from them leaves as many equations as unknown rows. So only a matrix
// of the lost rows is inverted, not one of all rows.
Status ErasureCode::restore_data(std::size_t size, std::span<char* const> rows,
                                 std::span<const unsigned> lost_data,
                                 std::span<const unsigned> parity) const {
  const std::size_t count = lost_data.size();
  std::vector<unsigned char> known(count * data_rows_);
  std::vector<unsigned char> unknown(count * count);
  std::vector<unsigned char> inverse(count * count);
  for (std::size_t i = 0; i < count; ++i) {
    for (unsigned j = 0; j < data_rows_; ++j) {
      known[i * data_rows_ + j] = coefficient(parity[i], j);
    }
    for (std::size_t j = 0; j < count; ++j) {
      unknown[i * count + j] = coefficient(parity[i], lost_data[j]);
      known[i * data_rows_ + lost_data[j]] = 0;
    }
  }
  if (gf_invert_matrix(unknown.data(), inverse.data(), static_cast<int>(count)) != 0) {
    return fail(Errc::kCorrupt, 0, "the matrix of the lost rows has no inverse");
  }
  Bytes sums(count * size, '\0');
  std::vector<char*> sum_rows;
  std::vector<char*> targets;
  for (std::size_t i = 0; i < count; ++i) {
    sum_rows.push_back(sums.data() + i * size);
    targets.push_back(rows[lost_data[i]]);
  }
  multiply(size, known, rows.first(data_rows_), sum_rows);
  for (std::size_t i = 0; i < count; ++i) {
    const char* stored = rows[data_rows_ + parity[i]];
    for (std::size_t at = 0; at < size; ++at) {
      sum_rows[i][at] = static_cast<char>(sum_rows[i][at] ^ stored[at]);
    }
  }
  multiply(size, inverse, sum_rows, targets);
  return ok();
}

}  // namespace amberfs
