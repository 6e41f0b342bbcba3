// Messages in protocol buffers' wire format, for writing. An ONNX file needs so little of it that a
// library would be larger than this. https://protobuf.dev/programming-guides/encoding
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace saferclip {

class ProtobufMessage {
 public:
  ProtobufMessage& add(int field, std::int64_t value);
  ProtobufMessage& add(int field, float value);
  ProtobufMessage& add(int field, std::string_view bytes);
  ProtobufMessage& add(int field, const ProtobufMessage& message);
  ProtobufMessage& add_packed(int field, std::span<const std::int64_t> values);
  // The head of a string, bytes or message field whose `size` bytes the caller writes after it.
  ProtobufMessage& open(int field, std::uint64_t size);
  // The fields of another message, after these.
  ProtobufMessage& append(const ProtobufMessage& fields);
  const std::string& bytes() const { return bytes_; }

 private:
  void add_varint(std::uint64_t value);

  std::string bytes_;
};

}  // namespace saferclip
