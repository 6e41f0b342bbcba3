// Which tensors of a model are trained, the names they are stored under, and how they are merged
// into plain weights.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "saferclip/core/named_tensor.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/model/model_options.h"
#include "saferclip/nn/optimizer.h"

namespace saferclip {

// Whether a tensor or module with this canonical name belongs to the towers.
bool is_of_towers(std::string_view name, Towers towers);

// Throws ConfigError if the adapter's method cannot be applied to models of this geometry.
void require_applicable(const AdapterOptions& adapter, const ClipGeometry& geometry);

// PEFT's prefix of every tensor name of an adapter.
inline constexpr std::string_view kPeftPrefix = "base_model.model.";
// PEFT's names of a module's two factors, A [r, I] and B [O, r].
std::string lora_a_name(std::string_view module);
std::string lora_b_name(std::string_view module);

// The name of a module's scores, in the shape of its weight: "mask." and the weight's.
inline constexpr std::string_view kMaskPrefix = "mask.";
std::string mask_name(std::string_view module);

// The prefix of the names of LorentzScalars among the trained tensors.
inline constexpr std::string_view kLorentzPrefix = "hysac.";

// Makes the trained leaves of a model: LoRA factors (A Kaiming-uniform, B zero) on
// `adapter.targets`, scores there with method mask, or every weight with method full; projections
// and logit scale as the model options say, the Lorentz scalars if the model has them; with method
// closed_form the weights that its form solves for. All other tensors require no gradient. Files
// use PEFT's names for adapters, Hugging Face's for weights and for scores, with kMaskPrefix.
std::vector<TrainedParameter> make_trainable(ClipModel& model, const ModelOptions& options,
                                             const AdapterOptions& adapter, std::uint64_t seed);

// The leaves as they are stored: detached views by name.
std::vector<NamedTensor> trained_tensors(const std::vector<TrainedParameter>& parameters);

// Copies stored tensors into the leaves. Throws WeightsError naming `where` and every missing,
// extra or misshapen tensor.
void load_trained(const std::vector<TrainedParameter>& parameters,
                  const std::vector<NamedTensor>& tensors, const std::string& where);

// The strengths that commands accept. Below 0 a change is negated, above 1 extrapolated.
inline constexpr double kLeastStrength = -2;
inline constexpr double kMostStrength = 3;

// W0 + strength · (W - W0); W itself for 1.
at::Tensor scaled_change(const at::Tensor& original, const at::Tensor& tuned, double strength);

// Puts the trained tensors into an fp32 model: adapters are merged (W + alpha/r · B A), masked
// weights switched off, weights replaced. `strength` scales the change: W0 + strength · ΔW.
void apply_trained(ClipModel& model, const std::vector<NamedTensor>& tensors,
                   const ModelOptions& options, const AdapterOptions& adapter,
                   const std::string& where, double strength = 1);

}  // namespace saferclip
