// Training steps of SaFeR-CLIP on given weights and one given batch: seconds, losses and peak
// memory as JSON, for step.py.
//   step_bench WEIGHTS BATCH.safetensors lora|full bf16|fp32 STEPS THREADS [MICRO_BATCH|blocks]
// A micro-batch comes with the gradient cache; `blocks` recomputes the blocks.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/bench_step.h"
#include "saferclip/core/memory.h"

int main(int argc, char** argv) {
  if (argc != 7 && argc != 8) return 2;
  at::set_num_threads(std::atoi(argv[6]));
  saferclip::BenchStep step(argv[1], saferclip::read_bench_batch(argv[2]),
                            saferclip::bench_method(argv[3]), saferclip::bench_precision(argv[4]),
                            at::kCPU);
  if (argc == 8 && std::string(argv[7]) == "blocks") {
    step.options().train.recompute = saferclip::Recompute::kBlocks;
  } else if (argc == 8) {
    step.options().train.micro_batch_size = std::atoi(argv[7]);
    step.options().train.gradient_cache = true;
  }
  saferclip::keep_freed_memory();
  nlohmann::json seconds = nlohmann::json::array();
  nlohmann::json losses = nlohmann::json::array();
  for (int i = 0; i < std::atoi(argv[5]); ++i) {
    const auto begin = std::chrono::steady_clock::now();
    losses.push_back(step.run().loss.item<double>());
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::cout << nlohmann::json{{"seconds", seconds},
                              {"losses", losses},
                              {"peak_mib", (saferclip::peak_memory_bytes() >> 20U)}}
            << '\n';
  return 0;
}
