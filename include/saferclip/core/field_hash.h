// Cache keys from option structs: every field with its name and exact value. A new field becomes
// part of the key as soon as `fields` lists it.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"
#include "saferclip/core/hash.h"

namespace saferclip {

// Accepts the member types of options, and plain enums and arrays for structs that no configuration
// reads.
class FieldHasher {
 public:
  explicit FieldHasher(Sha256& hash) : hash_(hash) {}

  template <HasFields Options>
  void add(const Options& options) {
    Options::fields(options, [&](const FieldSpec& spec, const auto& member) {
      if (spec.key != KeyRule::kValue && spec.key != KeyRule::kNumber) return;
      hash_.add(spec.name);
      if constexpr (HasWords<std::remove_cvref_t<decltype(member)>>) {
        if (spec.key == KeyRule::kNumber) return add(static_cast<std::int64_t>(member));
      }
      add(member);
    });
    hash_.add("end");
  }
  void add(const std::string& text) { hash_.add(text); }
  // As the shortest text that reads back as the same number.
  void add(double number) {
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    hash_.add(std::string_view(text.data(), static_cast<std::size_t>(end - text.data())));
  }
  template <HasWords E>
  void add(E value) {
    hash_.add(word_of(value));
  }
  template <class T>
  requires std::is_integral_v<T> ||(std::is_enum_v<T> && !HasWords<T>)void add(T value) {
    hash_.add(static_cast<std::int64_t>(value));
  }
  template <class T>
  void add(const std::optional<T>& value) {
    hash_.add(value ? "some" : "none");
    if (value) add(*value);
  }
  template <class T>
  void add(const std::vector<T>& values) {
    add_all(values);
  }
  template <class T, std::size_t N>
  void add(const std::array<T, N>& values) {
    add_all(values);
  }
  template <class T>
  void add(const std::map<std::string, T>& values) {
    hash_.add(static_cast<std::int64_t>(values.size()));
    for (const auto& [name, value] : values) {
      hash_.add(name);
      add(value);
    }
  }

 private:
  template <class Values>
  void add_all(const Values& values) {
    hash_.add(static_cast<std::int64_t>(values.size()));
    for (const auto& value : values) add(value);
  }

  Sha256& hash_;
};

// Adds all fields that are part of keys to `hash`.
template <HasFields Options>
Sha256& hash_fields(Sha256& hash, const Options& options) {
  FieldHasher(hash).add(options);
  return hash;
}

// The key of one struct alone.
template <HasFields Options>
std::string field_hash(const Options& options) {
  Sha256 hash;
  return hash_fields(hash, options).hex();
}

}  // namespace saferclip
