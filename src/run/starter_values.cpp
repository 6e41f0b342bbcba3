// The values of a new configuration, a function of what was found in its inputs.
#include <algorithm>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/run/starter_config.h"

namespace saferclip {
namespace {

ObjectiveName objective_for(const StarterFacts& facts) {
  if (facts.has_unsafe) return ObjectiveName::kSaferClip;
  return facts.family == Family::kSiglip ? ObjectiveName::kSiglip : ObjectiveName::kClip;
}

void require_unsafe(const StarterFacts& facts, ObjectiveName objective) {
  if (facts.has_unsafe || !loss_needs(ObjectiveOptions::preset(objective)).unsafe) return;
  throw ConfigError(cat("--objective ", objective,
                        ": redirects unsafe rows, but the data has none: a manifest needs "
                        "unsafe_caption (and unsafe_image) in each row, a folder needs --unsafe "
                        "with the unsafe partners of its images; or use --objective ",
                        objective_for(facts), ", which trains on safe pairs alone"));
}

}  // namespace

StarterValues choose_values(const StarterFacts& facts, std::optional<ObjectiveName> objective) {
  StarterValues values;
  values.objective = objective.value_or(objective_for(facts));
  require_unsafe(facts, values.objective);
  values.precision = facts.precision;
  values.batch_size = std::clamp<std::int64_t>(facts.rows, 1, values.batch_size);
  const double most_bad = DataOptions().max_bad_fraction * static_cast<double>(facts.rows_read);
  values.skips_bad_rows = facts.bad_rows > 0 && static_cast<double>(facts.bad_rows) <= most_bad;
  if (facts.available_bytes == 0 || !facts.needed_bytes) return values;
  std::int64_t rows = values.batch_size;
  while (rows > 1 && facts.needed_bytes(rows) > facts.available_bytes) rows = (rows + 1) / 2;
  values.fits = facts.needed_bytes(rows) <= facts.available_bytes;
  if (rows < values.batch_size) values.micro_batch_size = rows;
  return values;
}

}  // namespace saferclip
