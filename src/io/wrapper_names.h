// Tensor names without what the wrappers of training put before or into them.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace saferclip {

struct CleanNames {
  std::map<std::string, std::string> originals;  // the file's name, by the clean one
  std::vector<std::string> notes;                // what was removed, for users
};

// Of all names of one model, whatever number of files they are in: `module.` and `model.` go where
// every name begins with it (DistributedDataParallel, Lightning); what torch.compile, FSDP,
// DeepSpeed, activation checkpointing and Opacus leave goes wherever it stands, as no module is
// called so. Throws WeightsError when two names become one.
CleanNames without_wrappers(const std::vector<std::string>& names, const std::string& where);

}  // namespace saferclip
