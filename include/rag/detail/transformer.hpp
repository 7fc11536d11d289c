// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TRANSFORMER_HPP
#define RAG_DETAIL_TRANSFORMER_HPP
#include <rag/detail/forward.hpp>
#include <rag/detail/forward_bf16.hpp>
#include <rag/detail/mapped_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

// The encoder of BERT (Devlin et al. 2018) and its family, forward only.

RAG_BEGIN
namespace detail {

RAG_LAZY class BasicTransformer {
 public:
  static constexpr std::size_t all_layers = static_cast<std::size_t>(-1);

  /// Takes the mapped model.safetensors. The layers are packed here, on `threads` threads (0: all); the table of
  /// words stays in the file, and only the rows in use are read.
  BasicTransformer(MappedFile file, const TransformerConfig& config, const std::string& who, std::size_t threads, Isa isa = best_isa(),
                   Precision precision = Precision::fp32)
      : config_(config),
        isa_(isa),
        precision_(usable(config, who, isa, precision)),
        file_(std::move(file)),
        weights_(TransformerLoader(file_, config_, who, precision_).load(threads)) {}

  /// What the products are made of: fp32 where another was wanted and the processor has none of its instructions.
  Precision precision() const { return precision_; }
  const TransformerConfig& config() const { return config_; }
  std::string_view file() const { return file_.bytes(); }
  void release(std::string_view part) const { file_.release(part); }

  /// The states after the last layer, or after the first `layers` of them: config().hidden floats a token. `tokens`
  /// holds sequences one after the other, the i-th of lengths[i] >= 1 tokens; each token is in [0, vocabulary), each
  /// length at most `positions`. `types` holds the type of each token, in [0, types); empty: all are of type 0. What
  /// is given lies in the scratch. A sequence's floats do not depend on those beside it.
  const float* encode(std::span<const std::int32_t> tokens, std::span<const std::int32_t> types, std::span<const std::size_t> lengths,
                      TransformerScratch& scratch, std::size_t layers = all_layers) const {
    const std::size_t longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
    make_room(scratch, tokens.size(), longest);
    const ForwardPass pass{config_, weights_, isa_, lengths, scratch, tokens.size(), precision_};
    float* x = scratch.hidden.get();
    const bool expand = weights_.expand.depth != 0;
    embed(tokens, types, lengths, expand ? scratch.wide.get() : x);
    if (expand) gemm(isa_, scratch.wide.get(), config_.embedding, tokens.size(), weights_.expand.view(), x, config_.hidden);
    layers = std::min(layers, config_.layers);
#if RAG_X86
    if (precision_ == Precision::bf16) {
      const TileUse tiles(isa_);
      round_states(pass);
      for (std::size_t i = 0; i < layers; ++i) forward_layer_bf16(pass, weights_.layers[config_.group_of(i)]);
      return x;
    }
#endif
    for (std::size_t i = 0; i < layers; ++i) forward_layer(pass, weights_.layers[config_.group_of(i)]);
    return x;
  }

 private:
  static Precision usable(const TransformerConfig& config, const std::string& who, Isa isa, Precision wanted) {
    if (wanted == Precision::fp32) return wanted;
    if (wanted == Precision::int16) {
      if (config.hidden % panel_columns != 0 || config.intermediate % panel_columns != 0)
        throw Error(Errc::unsupported, who + ": config.json: for int16, multiples of 32 wanted of intermediate_size and of hidden_size, " +
                                           std::to_string(config.intermediate) + " and " + std::to_string(config.hidden) + " given");
      return has_vnni(isa) ? wanted : Precision::fp32;
    }
    const std::size_t head = config.hidden / config.heads;
    if (head % bf16_depth != 0 || config.intermediate % bf16_depth != 0)
      throw Error(Errc::unsupported, who + ": config.json: for bf16, multiples of 32 wanted of intermediate_size and of hidden_size / "
                                           "num_attention_heads, " + std::to_string(config.intermediate) + " and " +
                                         std::to_string(head) + " given");
    return isa >= Isa::avx512_bf16 ? wanted : Precision::fp32;
  }

  void make_room(TransformerScratch& scratch, std::size_t tokens, std::size_t length) const {
    const bool bf16 = precision_ == Precision::bf16;
    if (tokens > scratch.tokens) {
      scratch.tokens = 0;
      bf16 ? make_token_room_bf16(scratch, tokens) : make_token_room(scratch, tokens);
      scratch.tokens = tokens;
    }
    if (length > scratch.length) {
      scratch.length = 0;
      const std::size_t row = padded(length), head = padded(config_.hidden / config_.heads);
      scratch.scores = aligned_floats(some_queries(isa_) * row);
      if (bf16) {
        scratch.keys16 = aligned<Bf16>(head * row);
        scratch.values16 = aligned<Bf16>(head * row);
        scratch.shares16 = aligned<Bf16>(some_queries(isa_) * row);
      } else {
        scratch.keys = aligned_floats(head * row);
        scratch.values = aligned_floats(head * length);
      }
      scratch.length = length;
    }
  }

  void make_token_room(TransformerScratch& scratch, std::size_t tokens) const {
    const std::size_t hidden = config_.hidden;
    scratch.hidden = aligned_floats(tokens * hidden);
    scratch.update = aligned_floats(tokens * hidden);
    scratch.context = aligned_floats(tokens * hidden);
    scratch.wide = aligned_floats(tokens * std::max({3 * hidden, config_.intermediate, config_.embedding}));
    if (precision_ != Precision::int16) return;
    scratch.whole = aligned<std::int16_t>(tokens * std::max(hidden, config_.intermediate));
    scratch.scales = aligned_floats(tokens);
  }

  void make_token_room_bf16(TransformerScratch& scratch, std::size_t tokens) const {
    const std::size_t hidden = config_.hidden, whole = tokens + bf16_rows;  // a block may go beyond the last row
    scratch.hidden = aligned_floats(tokens * hidden);
    scratch.update = aligned_floats(whole * hidden);
    scratch.wide = aligned_floats(weights_.expand.depth != 0 ? tokens * config_.embedding : 0);
    scratch.states16 = aligned<Bf16>(whole * hidden);
    scratch.qkv16 = aligned<Bf16>(whole * 3 * hidden);
    scratch.context16 = aligned<Bf16>(whole * hidden);
    scratch.wide16 = aligned<Bf16>(whole * config_.intermediate);
  }

  /// x = LayerNorm(word + type + place), config_.embedding floats a token.
  void embed(std::span<const std::int32_t> tokens, std::span<const std::int32_t> types, std::span<const std::size_t> lengths,
             float* x) const {
    const std::size_t width = config_.embedding, bytes = width * float_bytes(weights_.words.type);
    const RowMath math = row_math(isa_);
    std::size_t row = 0;
    for (const std::size_t length : lengths)
      for (std::size_t i = 0, place = config_.first_position; i < length; ++i, ++row, x += width) {
        read_floats(weights_.words.bytes.data() + static_cast<std::size_t>(tokens[row]) * bytes, weights_.words.type, width, x);
        if (weights_.types) {
          const float* type = weights_.types.get() + (types.empty() ? 0 : static_cast<std::size_t>(types[row]) * width);
          for (std::size_t j = 0; j < width; ++j) x[j] += type[j];
        }
        const std::size_t at = tokens[row] == config_.pad ? config_.first_position - 1 : place++;
        math.add_norm(x, weights_.places.get() + at * width, width, weights_.embedding_norm.scale.get(),
                      weights_.embedding_norm.shift.get(), config_.epsilon);
      }
  }

  TransformerConfig config_;
  Isa isa_;
  Precision precision_;
  MappedFile file_;
  TransformerWeights weights_;
};
using Transformer = BasicTransformer<>;

}  // namespace detail
RAG_END
#endif
