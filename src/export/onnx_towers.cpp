// The forward pass of model/clip_forward.cpp in ONNX's operators. The nodes are those of PyTorch's
// exports of transformers' models (separate q, k and v, GELU spelled out), which runtimes recognize
// and fuse. In fp16 softmax is computed in fp32, and so are the statistics of LayerNormalization by
// its definition. Legend: B batch, L tokens, D width, H heads.
#include "export/onnx_towers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

double score_scale(std::int64_t head_width) {
  return 1 / std::sqrt(static_cast<double>(head_width));
}

// Appends the steps that both towers consist of. Each takes and returns names of values; `name` is
// the module's canonical name.
class TowerSteps {
 public:
  TowerSteps(OnnxGraph& graph, at::ScalarType type) : graph_(graph), type_(type) {}

  OnnxGraph& graph() { return graph_; }
  std::string weight(const std::string& name, const at::Tensor& value) {
    return graph_.add_initializer(name, value, type_);
  }
  std::string number(double value) { return graph_.scalar(value, type_); }
  std::string cast(const std::string& x, at::ScalarType from, at::ScalarType to) {
    return from == to ? x : graph_.node("Cast", {x}, {{"to", onnx_type(to)}});
  }
  std::string linear(const std::string& name, const at::Tensor& weight, const at::Tensor& bias,
                     const std::string& x);
  std::string norm(const std::string& name, const LayerNorm& norm, const std::string& x);
  std::string feed_forward(const std::string& name, Activation activation, const Linear& fc1,
                           const Linear& fc2, const std::string& x);
  // [B, L, D] to [B, H, L, D/H]; keys to [B, H, D/H, L].
  std::string split_heads(const std::string& x, std::int64_t heads, std::int64_t width,
                          bool is_key = false);
  // From what split_heads gives to [B, L, D], the query already scaled; `mask`, if any, is added to
  // the scores.
  std::string attend(const std::string& query, const std::string& key, const std::string& value,
                     std::int64_t width, const std::string& mask);
  std::string blocks(const std::string& tower, const Transformer& transformer, std::string x,
                     const std::string& mask);
  // The last step: the projection, if any, in fp32.
  void project(const std::string& name, const at::Tensor& weight, const at::Tensor& bias,
               const std::string& x, const char* output);

 private:
  std::string activate(Activation activation, const std::string& x);
  std::string self_attention(const std::string& name, const Block& block, std::int64_t heads,
                             const std::string& x, const std::string& mask);

  OnnxGraph& graph_;
  at::ScalarType type_;
};

std::string TowerSteps::linear(const std::string& name, const at::Tensor& weight,
                               const at::Tensor& bias, const std::string& x) {
  const std::string y = graph_.node("MatMul", {x, this->weight(name + ".weight", weight.t())});
  return bias.defined() ? graph_.node("Add", {y, this->weight(name + ".bias", bias)}) : y;
}

std::string TowerSteps::norm(const std::string& name, const LayerNorm& norm, const std::string& x) {
  return graph_.node("LayerNormalization",
                     {x, weight(name + ".weight", norm.weight), weight(name + ".bias", norm.bias)},
                     {{"axis", std::int64_t{-1}}, {"epsilon", norm.eps}});
}

// GELU's cube is taken as x·(√0.044715·x)², which fp16 holds for any x below 1200.
std::string TowerSteps::activate(Activation activation, const std::string& x) {
  const auto times = [this](const std::string& a, const std::string& b) {
    return graph_.node("Mul", {a, b});
  };
  if (activation == Activation::kQuickGelu) {
    return times(x, graph_.node("Sigmoid", {times(x, number(1.702))}));
  }
  std::string bent;
  if (activation == Activation::kGelu) {
    bent = graph_.node("Erf", {graph_.node("Div", {x, number(std::numbers::sqrt2)})});
  } else {
    const std::string root = times(x, number(std::sqrt(0.044715)));
    const std::string cubic = times(x, graph_.node("Add", {times(root, root), number(1)}));
    bent = graph_.node("Tanh", {times(cubic, number(std::sqrt(2 * std::numbers::inv_pi)))});
  }
  return times(times(x, graph_.node("Add", {bent, number(1)})), number(0.5));
}

std::string TowerSteps::feed_forward(const std::string& name, Activation activation,
                                     const Linear& fc1, const Linear& fc2, const std::string& x) {
  const std::string hidden = linear(name + ".fc1", fc1.weight, fc1.bias, x);
  return linear(name + ".fc2", fc2.weight, fc2.bias, activate(activation, hidden));
}

std::string TowerSteps::split_heads(const std::string& x, std::int64_t heads, std::int64_t width,
                                    bool is_key) {
  // In a shape 0 stands for the same extent as before, and -1 for what remains.
  const std::string split =
      graph_.node("Reshape", {x, graph_.integers({0, -1, heads, width / heads})});
  const std::vector<std::int64_t> order =
      is_key ? std::vector<std::int64_t>{0, 2, 3, 1} : std::vector<std::int64_t>{0, 2, 1, 3};
  return graph_.node("Transpose", {split}, {{"perm", order}});
}

std::string TowerSteps::attend(const std::string& query, const std::string& key,
                               const std::string& value, std::int64_t width,
                               const std::string& mask) {
  std::string scores = cast(graph_.node("MatMul", {query, key}), type_, at::kFloat);
  if (!mask.empty()) scores = graph_.node("Add", {scores, mask});
  const std::string weights =
      cast(graph_.node("Softmax", {scores}, {{"axis", std::int64_t{-1}}}), at::kFloat, type_);
  const std::string heads = graph_.node("MatMul", {weights, value});
  const std::string joined =
      graph_.node("Transpose", {heads}, {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}});
  return graph_.node("Reshape", {joined, graph_.integers({0, -1, width})});
}

std::string TowerSteps::self_attention(const std::string& name, const Block& block,
                                       std::int64_t heads, const std::string& x,
                                       const std::string& mask) {
  const std::int64_t width = block.out.weight.size(0);
  const auto part = [&](const char* module, std::int64_t third) {
    const std::string y =
        linear(cat(name, ".", module), block.qkv.weight.narrow(0, third * width, width),
               block.qkv.bias.narrow(0, third * width, width), x);
    return split_heads(y, heads, width, third == 1);
  };
  // Scaled before the product, which keeps the scores small in fp16.
  const std::string query =
      graph_.node("Mul", {part("q_proj", 0), number(score_scale(width / heads))});
  const std::string key = part("k_proj", 1);
  const std::string value = part("v_proj", 2);
  return linear(name + ".out_proj", block.out.weight, block.out.bias,
                attend(query, key, value, width, mask));
}

std::string TowerSteps::blocks(const std::string& tower, const Transformer& transformer,
                               std::string x, const std::string& mask) {
  for (std::size_t i = 0; i < transformer.blocks.size(); ++i) {
    const Block& block = transformer.blocks[i];
    const std::string name = cat(tower, ".encoder.layers.", i);
    graph_.enter(name);
    const std::string attended = self_attention(name + ".self_attn", block, transformer.heads,
                                                norm(name + ".layer_norm1", block.norm1, x), mask);
    x = graph_.node("Add", {x, attended});
    const std::string mlp = feed_forward(name + ".mlp", transformer.activation, block.fc1,
                                         block.fc2, norm(name + ".layer_norm2", block.norm2, x));
    x = graph_.node("Add", {x, mlp});
  }
  graph_.enter(tower);
  return x;
}

void TowerSteps::project(const std::string& name, const at::Tensor& weight, const at::Tensor& bias,
                         const std::string& x, const char* output) {
  const std::string y = weight.defined() ? linear(name, weight, bias, x) : x;
  graph_.node("Cast", {y}, {{"to", onnx_type(at::kFloat)}}, output);
}

// 0 where a token may look, else the lowest number: [C, C] for a context of C tokens.
at::Tensor causal_mask(std::int64_t context) {
  return at::full({context, context}, std::numeric_limits<float>::lowest(), at::kFloat).triu(1);
}

// The rows of `positions` [C, D] and of `mask` [C, C] that the ids need; the mask is empty in a
// tower without one, whose texts fill the context.
struct Cut {
  std::string positions;
  std::string mask;
};
Cut cut_to_length(TowerSteps& steps, const TextTower& tower, std::int64_t context) {
  OnnxGraph& graph = steps.graph();
  const std::string positions =
      steps.weight("text_model.embeddings.position_embedding.weight", tower.position_embedding);
  if (!tower.transformer.is_causal) return {positions, ""};
  const std::string mask =
      graph.add_initializer("text_model.causal_mask", causal_mask(context), at::kFloat);
  const std::string length =
      graph.node("Shape", {kTextInput}, {{"start", std::int64_t{1}}, {"end", std::int64_t{2}}});
  const std::string square = graph.node("Concat", {length, length}, {{"axis", std::int64_t{0}}});
  return {graph.node("Slice", {positions, graph.integers({0}), length, graph.integers({0})}),
          graph.node("Slice", {mask, graph.integers({0, 0}), square, graph.integers({0, 1})})};
}

// The pooled token of x [B, L, D]: [B, D].
std::string pooled_token(TowerSteps& steps, const ClipGeometry& geometry, const std::string& x) {
  OnnxGraph& graph = steps.graph();
  if (form_of(geometry.family).pools_last_token) {
    const std::string last =
        graph.scalar(static_cast<double>(geometry.context_length - 1), at::kLong);
    return graph.node("Gather", {x, last}, {{"axis", std::int64_t{1}}});
  }
  // ArgMax finds the first one; runtimes have it for int32 rather than for int64 or bool.
  const std::string marks =
      geometry.pooled_id < 0
          ? kTextInput
          : graph.node("Equal", {kTextInput,
                                 graph.scalar(static_cast<double>(geometry.pooled_id), at::kLong)});
  const std::string position =
      graph.node("ArgMax", {graph.node("Cast", {marks}, {{"to", onnx_type(at::kInt)}})},
                 {{"axis", std::int64_t{1}}, {"keepdims", std::int64_t{1}}});
  return graph.node("GatherND", {x, position}, {{"batch_dims", std::int64_t{1}}});
}

// [B, 3, S, S] to [B, L, D]: patches, class token, positions.
std::string vision_tokens(TowerSteps& steps, const ClipModel& model, at::ScalarType type) {
  OnnxGraph& graph = steps.graph();
  const VisionTower& tower = model.vision;
  const std::string name = "vision_model.embeddings";
  const std::int64_t width = model.geometry.vision.width;
  const std::int64_t patch = model.geometry.patch_size;
  std::vector<std::string> inputs{
      steps.cast(kVisionInput, at::kFloat, type),
      steps.weight(name + ".patch_embedding.weight",
                   tower.patch_embedding.weight.view({width, 3, patch, patch}))};
  if (tower.patch_embedding.bias.defined()) {
    inputs.push_back(steps.weight(name + ".patch_embedding.bias", tower.patch_embedding.bias));
  }
  // The margin outside the grid is dropped, as by the clients' convolutions.
  const std::vector<std::int64_t> square{patch, patch};
  const std::string grid =
      graph.node("Conv", inputs, {{"kernel_shape", square}, {"strides", square}});
  const std::string rows = graph.node("Reshape", {grid, graph.integers({0, width, -1})});
  std::string x = graph.node("Transpose", {rows}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}});
  if (tower.class_embedding.defined()) {
    const std::string batch =
        graph.node("Shape", {kVisionInput}, {{"start", std::int64_t{0}}, {"end", std::int64_t{1}}});
    const std::string shape =
        graph.node("Concat", {batch, graph.integers({1, width})}, {{"axis", std::int64_t{0}}});
    const std::string token = steps.weight(name + ".class_embedding", tower.class_embedding);
    x = graph.node("Concat", {graph.node("Expand", {token, shape}), x},
                   {{"axis", std::int64_t{1}}});
  }
  const std::string positions =
      steps.weight(name + ".position_embedding.weight", tower.position_embedding);
  return graph.node("Add", {x, positions});
}

// The scaled query of the probe, which is the same for every picture: [1, H, 1, D/H].
at::Tensor probe_query(const AttentionPool& pool) {
  const at::NoGradGuard guard;
  const std::int64_t width = pool.probe.size(0);
  const at::Tensor query =
      at::linear(pool.probe.view({1, width}), pool.in.weight.narrow(0, 0, width),
                 pool.in.bias.narrow(0, 0, width));
  return query.mul(score_scale(width / pool.heads)).view({1, pool.heads, 1, width / pool.heads});
}

// nn/attention_pool.cpp. [B, L, D] to [B, D].
std::string attention_pooled(TowerSteps& steps, const AttentionPool& pool, const std::string& x) {
  const std::string name = "vision_model.head";
  steps.graph().enter(name);
  const std::int64_t width = pool.probe.size(0);
  const auto part = [&](const char* module, std::int64_t third) {
    const std::string y = steps.linear(cat(name, ".attention.", module),
                                       pool.in.weight.narrow(0, third * width, width),
                                       pool.in.bias.narrow(0, third * width, width), x);
    return steps.split_heads(y, pool.heads, width, third == 1);
  };
  const std::string query = steps.weight(name + ".probe_query", probe_query(pool));
  const std::string key = part("k_proj", 1);
  const std::string value = part("v_proj", 2);
  const std::string y = steps.linear(name + ".attention.out_proj", pool.out.weight, pool.out.bias,
                                     steps.attend(query, key, value, width, ""));
  const std::string mlp = steps.feed_forward(name + ".mlp", pool.activation, pool.fc1, pool.fc2,
                                             steps.norm(name + ".layernorm", pool.norm, y));
  const std::string sum = steps.graph().node("Add", {y, mlp});
  return steps.graph().node("Gather", {sum, steps.graph().scalar(0, at::kLong)},
                            {{"axis", std::int64_t{1}}});
}

}  // namespace

OnnxGraph text_graph(const ClipModel& model, at::ScalarType type) {
  const TextTower& tower = model.text;
  const ClipGeometry& geometry = model.geometry;
  OnnxGraph graph("text_model");
  TowerSteps steps(graph, type);
  graph.enter("text_model");
  const OnnxExtent length = tower.transformer.is_causal ? OnnxExtent("sequence_length")
                                                        : OnnxExtent(geometry.context_length);
  graph.add_input(kTextInput, at::kLong, {"batch_size", length});
  graph.add_output(kTextOutput, at::kFloat, {"batch_size", geometry.embed_dim});
  const std::string tokens = graph.node(
      "Gather",
      {steps.weight("text_model.embeddings.token_embedding.weight", tower.token_embedding),
       kTextInput});
  const Cut cut = cut_to_length(steps, tower, geometry.context_length);
  std::string x = graph.node("Add", {tokens, cut.positions});
  x = steps.blocks("text_model", tower.transformer, x, cut.mask);
  x = steps.norm("text_model.final_layer_norm", tower.final_norm, pooled_token(steps, geometry, x));
  steps.project(form_of(geometry.family).text_projection, tower.projection, tower.projection_bias,
                x, kTextOutput);
  return graph;
}

OnnxGraph vision_graph(const ClipModel& model, at::ScalarType type) {
  const VisionTower& tower = model.vision;
  const ClipGeometry& geometry = model.geometry;
  OnnxGraph graph("vision_model");
  TowerSteps steps(graph, type);
  graph.enter("vision_model");
  graph.add_input(kVisionInput, at::kFloat,
                  {"batch_size", 3, geometry.image_size, geometry.image_size});
  graph.add_output(kVisionOutput, at::kFloat, {"batch_size", geometry.embed_dim});
  std::string x = vision_tokens(steps, model, type);
  if (tower.pre_norm.weight.defined())
    x = steps.norm("vision_model.pre_layrnorm", tower.pre_norm, x);
  x = steps.blocks("vision_model", tower.transformer, x, "");
  const std::string post = "vision_model.post_layernorm";
  if (tower.pool.probe.defined()) {
    x = attention_pooled(steps, tower.pool, steps.norm(post, tower.post_norm, x));
  } else {
    const std::string first =
        graph.node("Gather", {x, graph.scalar(0, at::kLong)}, {{"axis", std::int64_t{1}}});
    x = steps.norm(post, tower.post_norm, first);
  }
  steps.project("visual_projection", tower.projection, {}, x, kVisionOutput);
  return graph;
}

}  // namespace saferclip
