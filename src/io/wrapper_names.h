// Removes from tensor names what training wrappers add to them.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace saferclip {

struct CleanNames {
  std::map<std::string, std::string> originals;  // clean name -> the file's name
  std::vector<std::string> notes;                // what was removed, for users
};

// `names`: all names of one model, from all its files. Removes `module.` and `model.` if every name
// begins with it (DistributedDataParallel, Lightning), and the components added by torch.compile,
// FSDP, DeepSpeed, activation checkpointing and Opacus anywhere, because no module has such a name.
// Throws WeightsError if two names become equal.
CleanNames without_wrappers(const std::vector<std::string>& names, const std::string& where);

}  // namespace saferclip
