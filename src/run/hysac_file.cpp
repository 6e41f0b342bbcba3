// The numbers are written in the form in which the equations use them: clients need no exponential
// for the curvature, and the logarithms are those of the equations, as in CLIP's logit_scale.
#include "saferclip/run/hysac_file.h"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/document.h"
#include "saferclip/model/trained.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/open_run.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kAbout =
    "A model tuned with objective hysac (HySAC, arXiv 2503.12127). An un-normalized embedding f "
    "becomes the point sinh(sqrt(c) |u|) / (sqrt(c) |u|) * u, u = exp(alpha) * f, of curvature -c, "
    "c = curvature; README.md has the recipe. alpha_image, alpha_text and logit_scale are "
    "logarithms. bounds: distances from the origin of the safe captions (text) and safe images of "
    "a split: 5th percentile, mean, 95th percentile.";

double value_of(const std::vector<NamedTensor>& trained, const std::string& name) {
  const std::string full = cat(kLorentzPrefix, name);
  for (const NamedTensor& named : trained) {
    if (named.name == full) return named.tensor.to(at::kDouble).item<double>();
  }
  throw WeightsError(cat("the checkpoint lacks ", full));
}

// Of the split that bounds a traversal, else of any that was measured.
OrderedJson bounds_of(const Session& session, const fs::path& checkpoint) {
  const fs::path run = checkpoint.parent_path().parent_path();
  const std::string split = bounds_source(session.config.data).name;
  OrderedJson bounds = nullptr;
  for (const OrderedJson& document :
       kept_evaluations(run, session.config, read_train_state(checkpoint).step).own) {
    const OrderedJson* found = find_path(document, "after.hysac.bounds");
    if (found != nullptr && (*found)["split"] == split) bounds = *found;
  }
  return bounds;
}

}  // namespace

std::string hysac_file_text(const Session& session, const fs::path& checkpoint,
                            const std::vector<NamedTensor>& trained) {
  const OrderedJson json{{"about", kAbout},
                         {"curvature", std::exp(value_of(trained, "curvature"))},
                         {"alpha_image", value_of(trained, "alpha_image")},
                         {"alpha_text", value_of(trained, "alpha_text")},
                         {"logit_scale", value_of(trained, "logit_scale")},
                         {"bounds", bounds_of(session, checkpoint)}};
  return json.dump(2) + "\n";
}

bool lacks_bounds(const std::string& text) {
  return OrderedJson::parse(text).at("bounds").is_null();
}

LorentzScalars read_hysac_file(const fs::path& file) {
  const OrderedJson json = OrderedJson::parse(read_file(file), nullptr, false);
  std::vector<std::string> problems;
  LorentzScalars scalars;
  LorentzScalars::for_each(scalars, [&](const char* name, at::Tensor& value) {
    const std::optional<double> number = number_at(json, name);
    if (number && std::isfinite(*number)) {
      value = at::full({}, *number, at::kDouble);
    } else {
      problems.push_back(cat(name, ": expected a number"));
    }
  });
  if (scalars.curvature.defined() && scalars.curvature.item<double>() <= 0) {
    problems.emplace_back("curvature: expected a number above 0");
  }
  if (!problems.empty()) {
    throw WeightsError(
        join_problems(file.string() + ": is not the file that saferclip export writes:", problems));
  }
  scalars.curvature = scalars.curvature.log();
  return scalars;
}

std::string hysac_card_section() {
  return R"(## Distances

Objective `hysac` tuned these weights for distances on a hyperboloid: safe items near the origin, unsafe ones farther out.
**Cosine search on these weights is untrained.** `hysac.json` holds the curvature and the factors; everything else is plain
CLIP. `text` and `image` are embeddings [N, E] before any normalization (of transformers: `text_embeds`, `image_embeds` of
`CLIPTextModelWithProjection` and `CLIPVisionModelWithProjection`):

```python
import json
import numpy as np
hysac = json.load(open('PATH/hysac.json'))
c = hysac['curvature']

def point(f, alpha):
    u = np.exp(alpha) * np.asarray(f, dtype=np.float64)
    n = np.maximum(np.sqrt(c) * np.linalg.norm(u, axis=1, keepdims=True), 1e-8)
    x = np.sinh(n) * u / n
    return x, np.sqrt(1 / c + (x * x).sum(1, keepdims=True))

t, t_time = point(text, hysac['alpha_text'])
v, v_time = point(image, hysac['alpha_image'])
# The larger the inner product, the smaller the distance: an index of E + 1 numbers a row will do (in float64).
scores = np.hstack([t, -t_time]) @ np.hstack([v, v_time]).T
distances = np.arccosh(np.maximum(1, -c * scores)) / np.sqrt(c)
# The distance from the origin, by which unsafe items may be told: compare it with hysac['bounds'].
radius = np.exp(hysac['alpha_text']) * np.linalg.norm(text, axis=1)
```

)";
}

}  // namespace saferclip
