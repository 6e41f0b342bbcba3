// The files that OpenAI published, by the SHA-256 in their download addresses (clip/clip.py of
// openai/CLIP). ResNets are listed too: they cannot be loaded, but the message can say what they
// are.
#include "saferclip/weights/published_files.h"

#include <array>

namespace saferclip {
namespace {

struct PublishedFile {
  const char* name;
  const char* file;
  const char* sha256;
  const char* id = "";  // on the Hugging Face hub
};
constexpr std::array<PublishedFile, 9> kPublished{
    {{"OpenAI ViT-B/32", "ViT-B-32.pt",
      "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
      "openai/clip-vit-base-patch32"},
     {"OpenAI ViT-B/16", "ViT-B-16.pt",
      "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
      "openai/clip-vit-base-patch16"},
     {"OpenAI ViT-L/14", "ViT-L-14.pt",
      "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
      "openai/clip-vit-large-patch14"},
     {"OpenAI ViT-L/14@336px", "ViT-L-14-336px.pt",
      "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
      "openai/clip-vit-large-patch14-336"},
     {"OpenAI RN50", "RN50.pt", "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"},
     {"OpenAI RN101", "RN101.pt",
      "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"},
     {"OpenAI RN50x4", "RN50x4.pt",
      "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd"},
     {"OpenAI RN50x16", "RN50x16.pt",
      "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa"},
     {"OpenAI RN50x64", "RN50x64.pt",
      "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c"}}};

}  // namespace

std::string published_name(const std::string& sha256) {
  for (const PublishedFile& file : kPublished) {
    if (sha256 == file.sha256) return file.name;
  }
  return "";
}

std::string published_id(const std::string& sha256) {
  for (const PublishedFile& file : kPublished) {
    if (sha256 == file.sha256) return file.id;
  }
  return "";
}

std::string published_hash(const std::string& file_name) {
  for (const PublishedFile& file : kPublished) {
    if (file_name == file.file) return file.sha256;
  }
  return "";
}

}  // namespace saferclip
