// Seconds a picture takes from file bytes to a vision tower's pixels, as JSON, for pictures.py.
//   pictures_bench one FILE TIMES REPEATS FOLDER   TIMES pictures a repetition; pixels left in
//   FOLDER pictures_bench rows LIST THREADS REPEATS FOLDER   what `prepare` does with the files of
//   LIST
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "prepare/picture_rows.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/files.h"
#include "saferclip/core/log.h"
#include "saferclip/image/image.h"

namespace {

using namespace saferclip;
namespace fs = std::filesystem;

// Seconds of one call, for each repetition; the first two only warm up and are left out.
template <typename Work>
nlohmann::json seconds_of(int times, int repeats, const Work& work) {
  nlohmann::json seconds = nlohmann::json::array();
  for (int repeat = -2; repeat < repeats; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < times; ++i) work();
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    if (repeat >= 0) seconds.push_back(passed.count() / times);
  }
  return seconds;
}

void leave(const fs::path& file, const Image& image) {
  write_file_atomically(file, std::string(image.pixels.begin(), image.pixels.end()));
}

nlohmann::json measure_one(const fs::path& file, int times, int repeats, const fs::path& folder) {
  const std::string bytes = read_file(file);
  const Preprocessing preprocessing;
  Image decoded = decode_image(bytes, file.string());
  Image square = preprocess_image(decoded, preprocessing);
  leave(folder / "decoded.rgb", decoded);
  leave(folder / "square.rgb", square);
  nlohmann::json result{{"width", decoded.width}, {"height", decoded.height}};
  result["whole_s"] = seconds_of(
      times, repeats, [&] { square = decode_preprocessed(bytes, file.string(), preprocessing); });
  result["decode_s"] =
      seconds_of(times, repeats, [&] { decoded = decode_image(bytes, file.string()); });
  result["resize_s"] =
      seconds_of(times, repeats, [&] { square = preprocess_image(decoded, preprocessing); });
  const cv::Mat source(static_cast<int>(decoded.height), static_cast<int>(decoded.width), CV_8UC3,
                       decoded.pixels.data());
  const cv::Size size(static_cast<int>(224 * decoded.width / decoded.height), 224);
  cv::Mat resized;
  result["opencv_resize_s"] =
      seconds_of(times, repeats, [&] { cv::resize(source, resized, size, 0, 0, cv::INTER_AREA); });
  return result;
}

nlohmann::json measure_rows(const fs::path& list, int threads, int repeats,
                            const fs::path& folder) {
  PictureJob job;
  job.threads = at::get_num_threads();
  job.names = {"pictures"};
  job.label = "pictures";
  job.columns.emplace_back();
  std::ifstream in(list);
  for (std::string line; std::getline(in, line);)
    job.columns[0].push_back({fs::path(line), line, 0});
  at::set_num_threads(threads);
  Logger log(LogLevel::kError);
  const double count = static_cast<double>(job.columns[0].size());
  nlohmann::json seconds =
      seconds_of(1, repeats, [&] { decode_pictures(job, folder, {}, log, nullptr); });
  return {{"pictures", count}, {"threads", threads}, {"seconds", seconds}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  const int third = std::atoi(argv[3]);
  const int repeats = std::atoi(argv[4]);
  const bool is_rows = std::string(argv[1]) == "rows";
  std::cout << (is_rows ? measure_rows(argv[2], third, repeats, argv[5])
                        : measure_one(argv[2], third, repeats, argv[5]))
            << "\n";
  return 0;
}
