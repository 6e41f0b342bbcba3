#include "report/term_names.h"

#include <map>

#include "saferclip/core/text_format.h"

namespace saferclip {

std::string term_title(const std::string& term) {
  static const std::map<std::string, const char*> kTitles{
      {"cross_img", "Unsafe image away from its unsafe text, to a safe text"},
      {"cross_txt", "Unsafe text away from its unsafe image, to a safe image"},
      {"uni_img", "Unsafe image to its target image"},
      {"uni_txt", "Unsafe text to its target text"},
      {"redir_uni_img", "Unsafe image to its safe image"},
      {"redir_uni_txt", "Unsafe text to its safe text"},
      {"redir_cross_img", "Unsafe image matches its safe text"},
      {"redir_cross_txt", "Unsafe text matches its safe image"},
      {"pres_uni_img", "Safe images stay where they were"},
      {"pres_uni_txt", "Safe texts stay where they were"},
      {"pres_cross_img", "Safe image still matches its text"},
      {"pres_cross_txt", "Safe text still matches its image"},
      {"mutual_txt", "Unsafe text away from unsafe images, both tuned"},
      {"mutual_img", "Unsafe image away from unsafe texts, both tuned"},
      {"pres_sim_txt", "Safe texts keep their similarities"},
      {"pres_sim_img", "Safe images keep their similarities"},
      {"anchor_txt", "Neutral texts stay where they were"},
      {"anchor_img", "Neutral images stay where they were"},
      {"pres_spread_txt", "Safe texts stay as far apart"},
      {"pres_spread_img", "Safe images stay as far apart"},
      {"pres_local_txt", "Safe texts keep their neighbors"},
      {"pres_local_img", "Safe images keep their neighbors"},
      {"pres_cet_txt", "Texts match their image, jointly with their neighbors"},
      {"pres_cet_img", "Images match their text, jointly with their neighbors"},
      {"general_kl", "Safe rows match their partners as before (not descended)"},
      {"mask_norm", "Norm of the scores of the masks"},
      {"real", "Safe pairs stay, and still match"},
      {"safe", "Generated items labeled safe stay, and still match"},
      {"redir", "Items labeled unsafe to their safe partners"},
      {"mix", "Unsafe items match their safe counterpart as it was"},
      {"coh", "Unsafe texts still match their unsafe images"},
      {"contrastive", "Safe texts and images match"},
      {"contrast_safe", "Safe image matches its safe text"},
      {"contrast_unsafe", "Unsafe image matches its unsafe text"},
      {"contrast_unsafe_image", "Unsafe image matches its safe text"},
      {"contrast_unsafe_text", "Safe image matches its unsafe text"},
      {"entail_safe", "Safe image in the cone of its safe text"},
      {"entail_unsafe", "Unsafe image in the cone of its unsafe text"},
      {"entail_cross", "Unsafe text in the cone of its safe image"}};
  const auto found = kTitles.find(term);
  return found == kTitles.end() ? term : cat(found->second, " (", term, ")");
}

}  // namespace saferclip
