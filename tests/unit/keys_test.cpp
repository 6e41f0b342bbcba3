// Keys of caches: every field of the options that they are made from, changed by the least there
// is, gives another key.
#include "prepare/keys.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <future>
#include <limits>
#include <set>

#include "saferclip/core/field_hash.h"

namespace saferclip {
namespace {

class Change {
 public:
  explicit Change(int wanted) : wanted_(wanted) {}
  bool is_done() const { return count_ > wanted_; }
  const std::string& name() const { return name_; }
  KeyRule rule() const { return rule_; }

  template <HasFields Options>
  void visit(Options& options, const std::string& path = "") {
    Options::fields(options, [&](const FieldSpec& spec, auto& member) {
      visit_member(path.empty() ? spec.name : path + "." + spec.name, spec, member);
    });
  }

 private:
  template <class T>
  void visit_member(const std::string& name, const FieldSpec& spec, T& member) {
    if constexpr (HasFields<T>) {
      visit(member, name);
    } else if constexpr (requires { std::tuple_size<T>::value; }) {
      for (std::size_t i = 0; i < member.size(); ++i)
        visit_member(name + "[" + std::to_string(i) + "]", spec, member[i]);
    } else if (count_++ == wanted_) {
      name_ = name;
      rule_ = spec.key;
      change(spec, member);
    }
  }
  static void change(const FieldSpec&, bool& value) { value = !value; }
  static void change(const FieldSpec&, std::int64_t& value) { ++value; }
  static void change(const FieldSpec&, double& value) {
    value = std::nextafter(value, std::numeric_limits<double>::infinity());
  }
  static void change(const FieldSpec& spec, std::string& value) {
    for (const std::string& word : spec.choices) {
      if (word != value) {
        value = word;
        return;
      }
    }
    value += "x";
  }
  template <class T>
  requires std::is_enum_v<T>
  static void change(const FieldSpec&, T& value) {
    value = static_cast<T>(static_cast<int>(value) + 1);
  }
  template <class T>
  static void change(const FieldSpec& spec, std::optional<T>& value) {
    if (value) return change(spec, *value);
    value = T{};
  }
  template <class T>
  static void change(const FieldSpec&, std::vector<T>& values) {
    values.push_back(T{});
  }
  template <class T>
  static void change(const FieldSpec&, std::map<std::string, T>& values) {
    values["new"] = T{};
  }

  int wanted_;
  int count_ = 0;
  std::string name_;
  KeyRule rule_ = KeyRule::kValue;
};

// Calls `key` with the options, each time one field changed, and demands another key for each field
// that is part of keys, the same for the others. Returns the number of fields.
template <HasFields Options, class Key>
int expect_a_key_for_each_field(const Options& base, const Key& key) {
  std::set<std::string> keys{key(base)};
  for (int i = 0;; ++i) {
    Options options = base;
    Change change(i);
    change.visit(options);
    if (!change.is_done()) return i;
    const bool is_new = keys.insert(key(options)).second;
    const bool is_part = change.rule() == KeyRule::kValue || change.rule() == KeyRule::kNumber;
    EXPECT_EQ(is_new, is_part) << change.name();
  }
}

struct PlainTokenizer : Tokenizer {
  TextSpec text;
  std::string print = "plain";
  std::vector<std::int32_t> encode(std::string_view, bool*) const override { return {}; }
  const TextSpec& spec() const override { return text; }
  const std::string& fingerprint() const override { return print; }
  std::vector<std::pair<std::string, std::string>> hugging_face_files() const override {
    return {};
  }
};

WeightsSource source_with_hash(const std::string& hash) {
  WeightsSource source;
  std::promise<std::string> promise;
  promise.set_value(hash);
  source.later_hash = promise.get_future().share();
  return source;
}

SplitData split_of(const std::string& key) {
  SplitData split;
  split.images.content = "pictures";
  split.tokens.key = "captions";
  split.reference.key = key;
  split.good_rows = {0, 1};
  return split;
}

TEST(Keys, NumbersAreExact) {
  TargetsOptions below, above;
  below.min_similarity = 0.84123456;
  above.min_similarity = 0.84123457;
  EXPECT_NE(field_hash(below), field_hash(above));
  above.min_similarity.reset();
  EXPECT_NE(field_hash(below), field_hash(above));
}

TEST(Keys, EachTargetsOptionIsPartOfTheKey) {
  // A new member does not compile here until it has been thought of, and `fields` until it has it.
  const TargetsOptions options;
  const auto& [mode, image, allow_self, dedup, min_similarity, pool, extra_captions, extra_image] =
      options;
  (void)mode, (void)image, (void)allow_self, (void)dedup, (void)min_similarity, (void)pool,
      (void)extra_captions, (void)extra_image;
  const PlainTokenizer tokenizer;
  const SplitData train = split_of("a"), other = split_of("b");
  const auto key = [&](const TargetsOptions& o) {
    return targets_key(train, train, o, {"a dog"}, tokenizer);
  };
  EXPECT_EQ(expect_a_key_for_each_field(options, key), 8);
  std::set<std::string> keys{key(options), targets_key(train, other, options, {"a dog"}, tokenizer),
                             targets_key(other, train, options, {"a dog"}, tokenizer),
                             targets_key(train, train, options, {"a cat"}, tokenizer),
                             targets_key(train, train, options, {}, tokenizer)};
  SplitData fewer = train;
  fewer.good_rows = {0};
  keys.insert(targets_key(fewer, train, options, {"a dog"}, tokenizer));
  EXPECT_EQ(keys.size(), 6U);
}

TEST(Keys, EachAnchorOptionIsPartOfTheKeyOrSaysThatItIsNot) {
  const AnchorOptions options;
  const auto& [prompts, images, batch_size] = options;
  (void)prompts, (void)images, (void)batch_size;
  const WeightsSource source = source_with_hash("w");
  AnchorCache anchors;
  anchors.prompts = at::zeros({2, 3}, at::kInt);
  const auto key = [&](const AnchorOptions& o) {
    return anchors_key(o, anchors, source, false, false);
  };
  EXPECT_EQ(expect_a_key_for_each_field(options, key), 3);
  const std::string before = key(options);
  anchors.prompts = at::ones({2, 3}, at::kInt);
  EXPECT_NE(key(options), before);
}

TEST(Keys, EachPropertyOfPreprocessingIsPartOfThePicturesKey) {
  const auto key = [](const Preprocessing& preprocessing) {
    PictureJob job;
    job.preprocessing = preprocessing;
    return images_key(job);
  };
  EXPECT_GE(expect_a_key_for_each_field(Preprocessing{}, key), 10);
  PictureJob turned;
  turned.exif_rotate = true;
  EXPECT_NE(images_key(turned), key({}));
}

TEST(Keys, EachPropertyOfTheTokenizerIsPartOfTheTokensKey) {
  Manifest manifest;
  manifest.rows.resize(1);
  manifest.rows[0].safe_caption = "a dog";
  PlainTokenizer tokenizer;
  const auto key = [&](const TextSpec& text) {
    PlainTokenizer changed = tokenizer;
    changed.text = text;
    return tokens_key(changed, manifest, true);
  };
  EXPECT_GE(expect_a_key_for_each_field(TextSpec{}, key), 7);
  const std::string before = key({});
  tokenizer.print = "another";
  EXPECT_NE(key({}), before);
  EXPECT_NE(tokens_key(tokenizer, manifest, false), tokens_key(tokenizer, manifest, true));
}

TEST(Keys, WeightsGeometryAndPicturesArePartOfTheReferencesKey) {
  const SplitData split = split_of("");
  const auto key = [&](const ClipGeometry& geometry) {
    WeightsSource source = source_with_hash("w");
    source.geometry = geometry;
    return reference_key(split, source, false, false);
  };
  EXPECT_GE(expect_a_key_for_each_field(ClipGeometry{}, key), 18);
  const auto of_preprocessing = [&](const Preprocessing& preprocessing) {
    WeightsSource source = source_with_hash("w");
    source.preprocessing = preprocessing;
    return reference_key(split, source, false, false);
  };
  expect_a_key_for_each_field(Preprocessing{}, of_preprocessing);
  std::set<std::string> keys{key({}), reference_key(split, source_with_hash("w"), true, false),
                             reference_key(split, source_with_hash("v"), false, false)};
  SplitData other = split;
  other.images.content = "others";
  keys.insert(reference_key(other, source_with_hash("w"), false, false));
  other = split;
  other.tokens.key = "others";
  keys.insert(reference_key(other, source_with_hash("w"), false, false));
  EXPECT_EQ(keys.size(), 5U);
}

}  // namespace
}  // namespace saferclip
