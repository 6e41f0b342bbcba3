// The readers behind open_weights, one a layout.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "saferclip/io/tensor_file.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

class TensorFiles;

// A folder with its configuration; `files`: the named ones, null to take those that its client
// would take.
WeightsSource open_hugging_face(const std::filesystem::path& folder, const ModelOptions& options,
                                std::shared_ptr<const TensorFiles> files);
WeightsSource open_open_clip(const std::filesystem::path& folder, const ModelOptions& options,
                             std::shared_ptr<const TensorFiles> files);
// A file without a configuration, or with `model.architecture`.
WeightsSource open_bare_file(const std::filesystem::path& file, const ModelOptions& options,
                             const std::shared_ptr<const TensorFiles>& files);
WeightsSource open_random(const std::filesystem::path& architecture, const ModelOptions& options,
                          std::uint64_t seed);

// One logical set of tensors over one or several files (shards). When a whole model stands under a
// common prefix ("clip."), its names are those behind it and what is beside it is left out, with a
// note; a running average is taken when nothing else is there. Throws WeightsError when several
// models are.
class TensorFiles {
 public:
  explicit TensorFiles(const std::vector<std::filesystem::path>& paths);
  bool contains(const std::string& name) const { return owner_.contains(name); }
  const TensorInfo& info(const std::string& name) const;
  const std::vector<std::int64_t>& shape(const std::string& name) const { return info(name).shape; }
  at::Tensor tensor(const std::string& name) const;
  void release_pages() const;
  std::vector<std::string> names() const;  // sorted
  std::vector<std::filesystem::path> paths() const;
  std::string where() const;  // for messages
  // Of the first file, and what the readers noted.
  const std::map<std::string, std::string>& metadata() const { return files_.front().metadata; }
  const std::vector<std::string>& notes() const { return notes_; }
  // SHA-256 over all files; of a single one its own.
  std::string hash() const;

 private:
  struct Owner {
    std::size_t file;
    std::string name;  // there
  };
  void keep_model();

  std::vector<TensorFile> files_;
  std::map<std::string, Owner> owner_;
  std::vector<std::string> notes_;
};

// The files that transformers (or open_clip) takes out of a folder; notes what else is there.
// Throws WeightsError naming what was expected.
std::shared_ptr<const TensorFiles> open_hugging_face_files(const std::filesystem::path& folder,
                                                           std::vector<std::string>& notes);
std::shared_ptr<const TensorFiles> open_open_clip_files(const std::filesystem::path& folder,
                                                        std::vector<std::string>& notes);
// Weights of a folder, or of exactly the file (or index of shards) that is named; the names of its
// tensors choose the configuration beside it.
WeightsSource open_folder(const std::filesystem::path& folder, const ModelOptions& options);
WeightsSource open_named_file(const std::filesystem::path& file, const ModelOptions& options);

// Whole numbers and quantised values are no weights.
bool is_floating(const TensorInfo& info);
// `path` when it is a folder, else the folder that the file is in.
std::filesystem::path folder_of(const std::filesystem::path& path);
bool has_prefix(const TensorFiles& files, const std::string& prefix);
bool has_hugging_face_names(const TensorFiles& files);
// OpenAI's TorchScript archives carry three integers that nothing else does.
bool is_openai_archive(const TensorFiles& files);

// Geometry, preprocessing and token ids of a Hugging Face `config.json`; problems name file and
// key.
void read_hugging_face_config(const nlohmann::json& json, const std::string& file,
                              const ModelOptions& options, WeightsSource& source);
// An image processor's settings as transformers 5 reads them (its PIL backend); WeightsError names
// the key that has no form here.
void read_preprocessor_config(const nlohmann::json& json, const std::string& file,
                              WeightsSource& source);
// The image processor of a Hugging Face folder: the one inside processor_config.json, else
// preprocessor_config.json, else the family's own with a note.
void read_folder_preprocessor(const std::filesystem::path& folder, WeightsSource& source);

// How a family's pictures are prepared where nothing says otherwise.
Preprocessing default_preprocessing(Family family);
// The cleaning that a family's captions want, with `clip` for CLIP's: SigLIP was trained on lower
// case without punctuation, whichever client reads it.
TextCleaning default_cleaning(Family family, TextCleaning clip);
// `folder` when it holds any file of a tokenizer, usable or not; else empty.
std::filesystem::path tokenizer_folder_in(const std::filesystem::path& folder);

// Parses a JSON file that holds an object and hands it to `read`; WeightsError names the file, also
// when a value in it turns out to have another type than `read` expects.
void read_json_file(const std::filesystem::path& file,
                    const std::function<void(const nlohmann::json&)>& read);

// A number of a configuration that must be a positive integer.
std::int64_t json_integer(const nlohmann::json& json, const std::string& key, std::int64_t fallback,
                          const std::string& file);

// By Hugging Face's word; WeightsError (the word and what is known) for another one.
Activation activation_named(const std::string& word);
// `options.activation` when it is written; ConfigError with `reason` when it is auto.
Activation demanded_activation(const ModelOptions& options, const std::string& reason);

// Where a canonical tensor comes from in another layout, and its shape there.
struct SourceTensor {
  std::string name;
  bool is_transposed = false;
  std::int64_t third = -1;  // 0, 1, 2: q, k, v rows of a fused in-projection; -1: whole
  std::string rest = {};    // holds rows 1/3 to the end, `name` the first third (timm's q and kv)
  bool has_leading_one = false;  // [1, …]
};
// OpenAI's names for CLIP's tensors; WeightsError: no such tensor.
SourceTensor openai_name(const std::string& canonical);
// open_clip's names for the tensors of a family.
SourceTensor open_clip_name(Family family, const std::string& canonical);

// Throws WeightsError that says which kind of model this is when the names show one that `family`
// is not (ResNet, timm or Hugging Face towers, CoCa, SigLIP).
void refuse_foreign_model(const TensorFiles& files, const std::string& where, Family family);

// Refuses sizes that no CLIP has before anything is made of them. Throws WeightsError.
void check_geometry(const WeightsSource& source);

// Compares what a geometry needs with what the files hold; throws WeightsError listing all
// problems. `locate` maps a canonical name to its source; `ignored` says which extra names are
// harmless.
void check_tensors(const WeightsSource& source, const TensorFiles& files,
                   const std::function<SourceTensor(const std::string&)>& locate,
                   const std::function<bool(const std::string&)>& is_ignored);

// Checks the tensors and makes them the source's: `tensor`, `hash`, notes of the reader, the name
// under which the file was published.
void attach_tensors(WeightsSource& source, const std::shared_ptr<const TensorFiles>& files,
                    const std::function<SourceTensor(const std::string&)>& locate,
                    const std::function<bool(const std::string&)>& is_ignored);
void attach_open_clip_tensors(WeightsSource& source,
                              const std::shared_ptr<const TensorFiles>& files);
void attach_hugging_face_tensors(WeightsSource& source,
                                 const std::shared_ptr<const TensorFiles>& files);

// Position embeddings of another picture size (open_clip's `resize_pos_embed`: the grid bicubic
// with antialias, the class token kept). Changes geometry, preprocessing and `tensor`.
void resize_positions(WeightsSource& source, std::int64_t image_size);

// Puts an adapter (a folder or file) into the weights: `tensor` gives W + scaling · B A in fp32.
void merge_adapter(WeightsSource& source, const std::filesystem::path& path);
// `base_model_name_or_path` of an adapter folder; throws WeightsError when it names no local path.
std::filesystem::path adapter_base(const std::filesystem::path& folder);

}  // namespace saferclip
