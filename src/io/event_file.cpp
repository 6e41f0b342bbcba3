// A record is the length of its data, the length's checksum, the data, and the data's checksum:
// CRC-32C (RFC 3720, B.4), rotated and offset, because records may contain checksums.
#include "saferclip/io/event_file.h"

#include <array>
#include <chrono>
#include <cstring>
#include <string_view>

#include "saferclip/io/protobuf.h"

namespace saferclip {
namespace {

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1U) != 0 ? value >> 1U ^ 0x82F63B78U : value >> 1U;
    }
    table[i] = value;
  }
  return table;
}

std::uint32_t masked_checksum(std::string_view bytes) {
  static constexpr auto kTable = crc_table();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes) {
    crc = kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ crc >> 8U;
  }
  crc = ~crc;
  return (crc >> 15U | crc << 17U) + 0xA282EAD8U;
}

template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

// Event, with its wall_time (1).
ProtobufMessage event_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  ProtobufMessage event;
  event.add(1, std::chrono::duration<double>(now).count());
  return event;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& path) : out_(path) {
  add(event_now().add(3, std::string_view("brain.Event:2")));  // file_version
}

void EventFile::add_scalars(std::int64_t step,
                            const std::vector<std::pair<std::string, double>>& values) {
  ProtobufMessage summary;
  for (const auto& [tag, value] : values) {
    ProtobufMessage scalar;
    scalar.add(1, std::string_view(tag)).add(2, static_cast<float>(value));  // tag, simple_value
    summary.add(1, scalar);
  }
  add(event_now().add(2, step).add(5, summary));
}

void EventFile::add_histogram(std::int64_t step, const std::string& tag,
                              const Histogram& histogram) {
  const auto packed = [](const std::vector<double>& values) {
    std::string bytes;
    for (const double value : values) bytes += bytes_of(value);
    return bytes;
  };
  ProtobufMessage histo;
  histo.add(1, histogram.min).add(2, histogram.max).add(3, histogram.num).add(4, histogram.sum);
  histo.add(5, histogram.sum_squares);
  histo.add(6, std::string_view(packed(histogram.limits)));
  histo.add(7, std::string_view(packed(histogram.counts)));
  ProtobufMessage value;
  value.add(1, std::string_view(tag)).add(5, histo);  // tag, histo
  ProtobufMessage summary;
  summary.add(1, value);
  add(event_now().add(2, step).add(5, summary));
}

void EventFile::add_image(std::int64_t step, const std::string& tag, std::string_view png) {
  // PNG's first chunk is the size: 8 bytes of signature, length, name, width, height.
  constexpr std::size_t kWidth = 16, kHeight = 20;
  if (png.size() < kHeight + 4) return;
  const auto number = [&](std::size_t at) {
    std::int64_t value = 0;
    for (const char byte : png.substr(at, 4)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  };
  constexpr std::int64_t kRgb = 3;
  ProtobufMessage image;
  image.add(1, number(kHeight)).add(2, number(kWidth)).add(3, kRgb).add(4, png);
  ProtobufMessage value;
  value.add(1, std::string_view(tag)).add(4, image);  // tag, image
  ProtobufMessage summary;
  summary.add(1, value);
  add(event_now().add(2, step).add(5, summary));
}

void EventFile::add(const ProtobufMessage& event) {
  const std::string& data = event.bytes();
  const std::string length = bytes_of(static_cast<std::uint64_t>(data.size()));
  const std::string record =
      length + bytes_of(masked_checksum(length)) + data + bytes_of(masked_checksum(data));
  out_.write(record.data(), record.size());
}

}  // namespace saferclip
