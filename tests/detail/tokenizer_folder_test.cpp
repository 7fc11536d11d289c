// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <rag/detail/tokenizer.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "paths.hpp"

using rag::Errc;
using rag::detail::Tokenizer;

namespace {

using Ids = std::vector<std::int32_t>;

void write(const std::filesystem::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

Tokenizer read(const tests::TemporaryFolder& folder) { return Tokenizer::from_folder(folder.path().string(), "test"); }

Ids ids_of(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  CHECK(tokenizer.encode(text, ids, ~std::size_t{0}));
  CHECK(tokenizer.count(text) == ids.size());
  return ids;
}

template <class Call>
Errc code_of(Call call) {
  try {
    call();
  } catch (const rag::Error& error) {
    return error.code();
  }
  return Errc::cancelled;
}

// A field of a protobuf message that is text or a message; short ones only.
std::string field(int number, std::string_view content) {
  std::string bytes(1, static_cast<char>(number << 3 | 2));
  bytes += static_cast<char>(content.size());
  return bytes + std::string(content);
}
std::string number(int field, int value) {
  std::string bytes;
  for (unsigned key = static_cast<unsigned>(field) << 3;; key >>= 7) {
    bytes += static_cast<char>(key < 128 ? key : (key & 127) | 128);
    if (key < 128) break;
  }
  return bytes + static_cast<char>(value);
}
std::string piece(std::string_view text, float score, int type = 1) {
  std::string bytes = field(1, text) + '\x15';
  char raw[4];
  std::memcpy(raw, &score, 4);
  return field(1, bytes + std::string(raw, 4) + number(3, type));
}

// ids: 0 <unk> 1 <s> 2 </s> 3 ▁ 4 a 5 b 6 ab 7 ▁ab 8 [CLS] 9 [SEP]
std::string spiece(const std::string& trainer = number(3, 1), const std::string& normalizer = "") {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁", -1) + piece("a", -2) +
         piece("b", -2.5f) + piece("ab", -3) + piece("▁ab", -2) + piece("[CLS]", 0, 3) + piece("[SEP]", 0, 3) +
         field(2, trainer) + field(3, normalizer);
}

Tokenizer of_model(const std::string& bytes) {
  const tests::TemporaryFolder folder;
  write(folder / "tokenizer.model", bytes);
  return read(folder);
}

}  // namespace

TEST_CASE("A SentencePiece model alone gives its own ids and no special tokens") {
  const Tokenizer tokenizer = of_model(spiece());

  CHECK(ids_of(tokenizer, "ab") == Ids{7});
  CHECK(ids_of(tokenizer, "  ab   ab ") == Ids{7, 7});  // extra blanks go
  CHECK(ids_of(tokenizer, "abxyz") == Ids{7, 0});
  CHECK(ids_of(tokenizer, "   ") == Ids{});
  CHECK(ids_of(tokenizer, "<s>") == Ids{3, 0});  // as text it means nothing
  CHECK(tokenizer.special_count() == 0);
  CHECK(tokenizer.size() == 10);
}

TEST_CASE("The switches of a SentencePiece model's normalizer are kept") {
  CHECK(ids_of(of_model(spiece(number(3, 1), number(3, 0))), "ab") == Ids{6});
  CHECK(ids_of(of_model(spiece(number(3, 1), number(4, 0))), " ab ") == Ids{3, 7, 3});
}

TEST_CASE("SentencePiece's BPE merges by score") {
  CHECK(ids_of(of_model(spiece(number(3, 2))), "ab b ba") == Ids{7, 3, 5, 3, 5, 4});
  CHECK(ids_of(of_model(spiece(number(3, 2))), "ab ab") == Ids{7, 7});
}

TEST_CASE("A SentencePiece model of another kind is refused by name") {
  CHECK(code_of([] { of_model(spiece(number(3, 3))); }) == Errc::unsupported);
  CHECK(code_of([] { of_model(spiece(number(24, 1))); }) == Errc::unsupported);
  CHECK(code_of([] { of_model(spiece(number(35, 1))); }) == Errc::invalid_format);  // no byte pieces
  CHECK(code_of([] { of_model(""); }) == Errc::invalid_format);
  CHECK(code_of([] { of_model(piece("a", 0)); }) == Errc::invalid_format);  // no unknown one
}

TEST_CASE("A damaged SentencePiece model gives an error or another model, never a crash") {
  const std::string good = spiece(number(3, 1), field(2, std::string("\4\0\0\0\0\0\0\0", 8)) + number(4, 1));
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    const Errc code = code_of([&] { ids_of(of_model(good.substr(0, size)), "ab x"); });
    CHECK((code == Errc::cancelled || code == Errc::invalid_format));
  }
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    CAPTURE(bit);
    const Errc code = code_of([&] { ids_of(of_model(flipped), "ab x"); });
    CHECK((code == Errc::cancelled || code == Errc::invalid_format || code == Errc::unsupported));
  }
}

TEST_CASE("Around an ALBERT's text stand [CLS] and [SEP], and it is lowered and without accents") {
  const tests::TemporaryFolder folder;
  write(folder / "spiece.model", spiece());
  write(folder / "config.json", R"({"model_type":"albert"})");
  const Tokenizer tokenizer = read(folder);

  CHECK(ids_of(tokenizer, "ÁB") == Ids{8, 7, 9});
  CHECK(ids_of(tokenizer, "ab[SEP]ab") == Ids{8, 7, 9, 7, 9});
  CHECK(tokenizer.special_count() == 2);
}

TEST_CASE("An XLM-RoBERTa's ids are those of fairseq") {
  const tests::TemporaryFolder folder;
  write(folder / "sentencepiece.bpe.model", spiece());
  write(folder / "config.json", R"({"model_type":"xlm-roberta"})");
  const Tokenizer tokenizer = read(folder);

  CHECK(ids_of(tokenizer, "ab x") == Ids{0, 8, 4, 3, 2});
  CHECK(ids_of(tokenizer, "ab <mask>") == Ids{0, 8, 11, 2});
  Ids ids, types;
  CHECK(tokenizer.encode_pair("ab", "ab", ids, types, 99));
  CHECK(ids == Ids{0, 8, 2, 2, 8, 2});
  CHECK(types == Ids(6, 0));
  CHECK(tokenizer.size() == 12);

  write(folder / "config.json", R"({"model_type":"t5"})");
  CHECK(code_of([&] { read(folder); }) == Errc::unsupported);
}

TEST_CASE("A vocab.txt is uncased BERT's, or what tokenizer_config.json says") {
  const tests::TemporaryFolder folder;
  write(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nab\nAB\náb\n##x\n");
  CHECK(ids_of(read(folder), "AB áb abx") == Ids{2, 4, 4, 4, 7, 3});

  write(folder / "tokenizer_config.json", R"({"do_lower_case":false})");
  CHECK(ids_of(read(folder), "AB áb abx [SEP]") == Ids{2, 5, 6, 4, 7, 3, 3});

  write(folder / "tokenizer_config.json", R"({"strip_accents":false})");
  CHECK(ids_of(read(folder), "ÁB") == Ids{2, 6, 3});

  write(folder / "tokenizer_config.json", R"({"tokenizer_class":"CanineTokenizer","do_lower_case":false})");
  CHECK(code_of([&] { read(folder); }) == Errc::unsupported);
}

TEST_CASE("An MPNet's vocab.txt stands between <s> and </s>") {
  const tests::TemporaryFolder folder;
  write(folder / "vocab.txt", "<s>\n<pad>\n</s>\n<unk>\n[UNK]\nab\n<mask>\n");
  write(
      folder / "tokenizer_config.json",
      R"({"tokenizer_class":"MPNetTokenizer","pad_token":"<pad>","cls_token":"<s>","sep_token":"</s>","mask_token":"<mask>"})");
  const Tokenizer tokenizer = read(folder);

  CHECK(ids_of(tokenizer, "AB <mask> x") == Ids{0, 5, 6, 4, 2});
  Ids ids, types;
  tokenizer.encode_pair("ab", "ab", ids, types, 99);
  CHECK(ids == Ids{0, 5, 2, 2, 5, 2});
}

TEST_CASE("A tokenizer.json counts where the configuration is not plain BERT's") {
  const tests::TemporaryFolder folder;
  write(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nab\n");
  write(folder / "tokenizer.json", R"({"model":{"type":"WordPiece","unk_token":"?","vocab":{"?":0,"ab":9}}})");
  CHECK(ids_of(read(folder), "ab") == Ids{9});

  write(folder / "tokenizer_config.json", R"({"tokenizer_class":"BertTokenizer","do_lower_case":true})");
  CHECK(ids_of(read(folder), "ab") == Ids{2, 4, 3});

  write(folder / "tokenizer_config.json",
        R"({"tokenizer_class":"BertTokenizer","do_lower_case":true,"added_tokens_decoder":{"7":{"content":"<new>"}}})");
  CHECK(ids_of(read(folder), "ab") == Ids{9});
}

TEST_CASE("A folder without a tokenizer is not found") {
  const tests::TemporaryFolder folder;
  CHECK(code_of([&] { read(folder); }) == Errc::not_found);
  write(folder / "tokenizer_config.json", "[]");
  CHECK(code_of([&] { read(folder); }) == Errc::invalid_format);
}

TEST_CASE("The model's own tokenizer.json and vocab.txt give the same ids") {
  const std::filesystem::path model = tests::model_folder();
  if (tests::skip_without(model)) return;
  const tests::TemporaryFolder folder;
  std::filesystem::copy(model / "tokenizer.json", folder / "tokenizer.json");

  const Tokenizer words = Tokenizer::from_folder(model.string(), "test"), json = read(folder);

  for (const char* text : {"How is data stored in milvus?", "[MASK] É 中文 unaffable", ""})
    CHECK(ids_of(words, text) == ids_of(json, text));
  CHECK(words.size() == 30522);
  CHECK(json.size() == 30522);
}
