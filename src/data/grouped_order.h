// The order of an epoch in which neighbors share a batch.
#pragma once

#include <cstdint>
#include <vector>

namespace saferclip {

// The rows of `order`, each once, regrouped: a row that has not been placed yet brings along those
// of its neighbors that have not either, and such a group lies within one batch of `batch_size`
// consecutive rows. A group is cut only if nothing else fills the end of a batch.
// `neighbours[row]`: rows, nearest first; of those not in `order` none is placed. A pure function
// of its arguments.
std::vector<std::int64_t> grouped_order(const std::vector<std::int64_t>& order,
                                        const std::vector<std::vector<std::int64_t>>& neighbours,
                                        std::int64_t batch_size);

}  // namespace saferclip
