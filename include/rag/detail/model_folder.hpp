// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_MODEL_FOLDER_HPP
#define RAG_DETAIL_MODEL_FOLDER_HPP
#include <rag/detail/fingerprint.hpp>
#include <rag/detail/json.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/transformer_config.hpp>

#include <unistd.h>

#include <cstddef>
#include <string>
#include <string_view>

// The files of a model folder as transformers and sentence-transformers lay it out, opened and read for `who`.

RAG_BEGIN
namespace detail {

RAG_LAZY bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

RAG_LAZY MappedFile open_model_file(const std::string& folder, const std::string& name, const std::string& who) {
  try {
    return MappedFile(folder + "/" + name, who);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    if (name == "model.safetensors")
      for (const char* other : {"pytorch_model.bin", "model.safetensors.index.json"})
        if (is_there(folder + "/" + other))
          throw Error(Errc::unsupported, who + ": " + folder + ": weights in one file model.safetensors wanted, " + other + " given");
    throw Error(Errc::not_found, std::string(error.what()) +
                                     "; a model folder, as sentence-transformers lays it out, holds config.json, "
                                     "model.safetensors, a tokenizer's files, modules.json and 1_Pooling/config.json");
  }
}

/// A JSON object of the model; an empty one where the file may be absent and is.
RAG_LAZY Json read_model_json(const std::string& folder, const std::string& name, const std::string& who, bool needed) {
  if (!needed && !is_there(folder + "/" + name)) return Json::object();
  return parse_json(open_model_file(folder, name, who).bytes(), who + ": " + folder + "/" + name);
}

/// How many tokens the model was made for, the special ones among them: what the first of these files says, at most
/// the model's positions. tokenizer.json speaks of lengths too, but for another program: all-MiniLM-L6-v2 says 128
/// there, 512 in tokenizer_config.json and, rightly, 256 in sentence_bert_config.json. `sentence_config`: the name of
/// that file; empty: there is none.
template <class AnyJson = Json>
std::size_t read_max_tokens(const std::string& folder, const std::string& sentence_config, std::size_t positions,
                            const std::string& who) {
  if (positions < 3)
    throw Error(Errc::invalid_format, who + ": " + folder +
                                          "/config.json: max_position_embeddings: room for 3 tokens wanted, for " +
                                          std::to_string(positions) + " given");
  for (const bool sentence : {true, false}) {
    if (sentence && sentence_config.empty()) continue;
    const std::string name = sentence ? sentence_config : "tokenizer_config.json";
    const char* key = sentence ? "max_seq_length" : "model_max_length";
    const AnyJson json = read_model_json(folder, name, who, false);
    const auto found = json.is_object() ? json.find(key) : json.end();
    if (found == json.end() || !found->is_number()) continue;
    const double tokens = found->template get<double>();
    if (!(tokens >= 3)) throw Error(Errc::invalid_format, who + ": " + folder + "/" + name + ": " + key + ": at least 3 wanted");
    return tokens < static_cast<double>(positions) ? static_cast<std::size_t>(tokens) : positions;
  }
  return positions;
}

/// Adds mapped bytes, piece by piece given back to the system.
template <class Mapped>
void add_mapped(Fingerprint& fingerprint, std::string_view bytes, const Mapped& mapped) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, 1 << 20);
    fingerprint.add(piece);
    mapped.release(piece);
    bytes.remove_prefix(piece.size());
  }
}
RAG_LAZY void add_file(Fingerprint& fingerprint, const MappedFile& file) { add_mapped(fingerprint, file.bytes(), file); }

/// Adds the files from which a tokenizer is made, those that are there.
RAG_LAZY void add_tokenizer_files(Fingerprint& fingerprint, const std::string& folder, const std::string& who) {
  for (const char* name : {"vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                           "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "vocab.json", "merges.txt"})
    if (is_there(folder + "/" + name)) {
      fingerprint.add(name);
      add_file(fingerprint, open_model_file(folder, name, who));
    }
}

/// The last part of a folder's path.
inline std::string folder_name(const std::string& folder) {
  const std::size_t end = folder.find_last_not_of('/') + 1, slash = folder.rfind('/', end ? end - 1 : 0);
  const std::size_t begin = slash == std::string::npos ? 0 : slash + 1;
  return folder.substr(begin, end - begin);
}

}  // namespace detail
RAG_END
#endif
