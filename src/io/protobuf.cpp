// A field is a key, the field's number and its wire type, and then a varint, four or eight
// bytes, or a length and as many bytes.
#include "saferclip/io/protobuf.h"

#include <cstring>

namespace saferclip {
namespace {

enum WireType : std::uint64_t {
  kVarint = 0,
  kEightBytes = 1,
  kLengthDelimited = 2,
  kFourBytes = 5
};

std::uint64_t key(int field, WireType type) {
  return static_cast<std::uint64_t>(field) << 3U | type;
}

template <class T>
void append_value(std::string& bytes, T value) {
  const std::size_t end = bytes.size();
  bytes.resize(end + sizeof(value));
  std::memcpy(&bytes[end], &value, sizeof(value));
}

}  // namespace

void ProtobufMessage::add_varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) bytes_ += static_cast<char>(value | 0x80U);
  bytes_ += static_cast<char>(value);
}

ProtobufMessage& ProtobufMessage::add(int field, std::int64_t value) {
  add_varint(key(field, kVarint));
  add_varint(static_cast<std::uint64_t>(value));
  return *this;
}

ProtobufMessage& ProtobufMessage::add(int field, float value) {
  add_varint(key(field, kFourBytes));
  append_value(bytes_, value);
  return *this;
}

ProtobufMessage& ProtobufMessage::add(int field, double value) {
  add_varint(key(field, kEightBytes));
  append_value(bytes_, value);
  return *this;
}

ProtobufMessage& ProtobufMessage::add(int field, std::string_view bytes) {
  open(field, bytes.size());
  bytes_ += bytes;
  return *this;
}

ProtobufMessage& ProtobufMessage::add(int field, const ProtobufMessage& message) {
  return add(field, std::string_view(message.bytes_));
}

ProtobufMessage& ProtobufMessage::add_packed(int field, std::span<const std::int64_t> values) {
  ProtobufMessage packed;
  for (const std::int64_t value : values) packed.add_varint(static_cast<std::uint64_t>(value));
  return add(field, packed);
}

ProtobufMessage& ProtobufMessage::open(int field, std::uint64_t size) {
  add_varint(key(field, kLengthDelimited));
  add_varint(size);
  return *this;
}

ProtobufMessage& ProtobufMessage::append(const ProtobufMessage& fields) {
  bytes_ += fields.bytes_;
  return *this;
}

}  // namespace saferclip
