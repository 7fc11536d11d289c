// SPDX-License-Identifier: MIT
#ifndef RAG_TYPES_HPP
#define RAG_TYPES_HPP
#include <rag/error.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// The nouns that walk: Document -> Chunk -> Matrix -> Hit -> Message -> Answer.

RAG_BEGIN

/// A metadata value: a string, a number or a bool.
class MetaValue {
 public:
  MetaValue(std::string text) : text_(std::move(text)), kind_(Kind::string) {}
  MetaValue(std::string_view text) : MetaValue(std::string(text)) {}
  MetaValue(const char* text) : MetaValue(std::string(text)) {}
  MetaValue(bool value) : number_(value ? 1 : 0), kind_(Kind::boolean) {}
  /// An integer beyond 2^53 loses its last digits.
  template <class T>
    requires std::is_arithmetic_v<T>
  MetaValue(T number) : number_(static_cast<double>(number)), kind_(Kind::number) {}

  bool is_string() const { return kind_ == Kind::string; }
  bool is_number() const { return kind_ == Kind::number; }
  bool is_boolean() const { return kind_ == Kind::boolean; }
  /// The value, if it is of that kind; else empty, 0, false.
  const std::string& string() const { return text_; }
  double number() const { return is_number() ? number_ : 0; }
  bool boolean() const { return is_boolean() && number_ != 0; }
  bool operator==(const MetaValue&) const = default;

 private:
  enum class Kind : unsigned char { string, number, boolean };
  std::string text_;
  double number_ = 0;
  Kind kind_;
};

/// Named values that travel from Document to Chunk to Hit. A few entries a document: looked up by a walk, kept
/// in the order they were set.
///
///     rag::Metadata metadata{{"language", "en"}, {"year", 2024}, {"public", true}};
///     if (const rag::MetaValue* year = metadata.find("year")) use(year->number());
class Metadata {
 public:
  using Entry = std::pair<std::string, MetaValue>;

  Metadata() = default;
  RAG_LAZY Metadata(std::initializer_list<Entry> entries) {
    for (const auto& [name, value] : entries) set(name, value);
  }

  /// Sets or replaces one value.
  RAG_LAZY void set(std::string_view name, MetaValue value) {
    for (Entry& entry : entries_)
      if (entry.first == name) return void(entry.second = std::move(value));
    entries_.emplace_back(std::string(name), std::move(value));
  }
  /// The value of that name, or null.
  const MetaValue* find(std::string_view name) const {
    for (const Entry& entry : entries_)
      if (entry.first == name) return &entry.second;
    return nullptr;
  }

  std::vector<Entry>::const_iterator begin() const { return entries_.begin(); }
  std::vector<Entry>::const_iterator end() const { return entries_.end(); }
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  bool operator==(const Metadata&) const = default;

 private:
  std::vector<Entry> entries_;
};

/// A text as it was read: UTF-8, its bytes untouched, so that a byte span of it is a byte span of the file.
struct Document {
  std::string id;  ///< names the source: a path relative to the folder read, a URL, a title; unique in a store
  std::string text;
  Metadata metadata = {};
};

/// The number that a store gives a chunk, 0, 1, 2, … in the order of insertion.
using Id = std::int64_t;
inline constexpr Id no_id = -1;

/// A piece of a document. Law: document.text.substr(begin, end - begin) == text.
struct Chunk {
  std::string text;
  std::string source;     ///< the id of the document
  std::size_t begin = 0;  ///< bytes, half-open [begin, end)
  std::size_t end = 0;
  Metadata metadata = {};  ///< the document's, and what the chunker adds
  Id id = no_id;           ///< set by the store

  bool operator==(const Chunk&) const = default;
};

/// What a retriever reads of a chunk: its text, after the metadata entry "search_context" and a blank line where it has
/// one (ContextChunker).
RAG_LAZY std::string indexed_text(const Chunk& chunk) {
  const MetaValue* context = chunk.metadata.find("search_context");
  return context == nullptr ? chunk.text : context->string() + "\n\n" + chunk.text;
}

/// The headings that a chunk stands under, "Chapter > Section", where its chunker knows them; else "".
RAG_LAZY std::string heading_path(const Chunk& chunk) {
  const MetaValue* path = chunk.metadata.find("heading");
  return path == nullptr ? std::string() : path->string();
}

/// Vectors, one a row: rows() x columns() floats, row-major, without gaps.
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::size_t rows, std::size_t columns) : rows_(rows), columns_(columns), values_(rows * columns) {}

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::span<float> row(std::size_t i) { return {values_.data() + i * columns_, columns_}; }
  std::span<const float> row(std::size_t i) const { return {values_.data() + i * columns_, columns_}; }
  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  bool operator==(const Matrix&) const = default;

 private:
  std::size_t rows_ = 0, columns_ = 0;
  std::vector<float> values_;
};

/// A chunk that was found. Larger scores are better; what a score means is the retriever's to say.
struct Hit {
  Chunk chunk;
  float score = 0;

  bool operator==(const Hit&) const = default;
};

/// A function that a model asks its caller to call.
struct ToolCall {
  std::string id;         ///< as the service named it; the answer to the call repeats it
  std::string name;       ///< of the function
  std::string arguments;  ///< JSON, as the model wrote it: it may be wrong

  bool operator==(const ToolCall&) const = default;
};

/// One turn of a chat: role "system", "user", "assistant", or "tool" for what a called function gave.
struct Message {
  std::string role;
  std::string content;
  std::vector<ToolCall> tool_calls = {};  ///< of the assistant
  std::string tool_call_id = {};          ///< of a tool's turn: the call that it answers

  bool operator==(const Message&) const = default;
};

/// Tokens as the service counted them; 0 where it did not say.
struct Usage {
  std::size_t prompt_tokens = 0;
  std::size_t completion_tokens = 0;

  bool operator==(const Usage&) const = default;
};

/// What a model wrote. Made from a plain string too, so a model of one's own may return one.
struct Completion {
  std::string text;
  std::string finish_reason = "stop";  ///< "stop", "length", "content_filter", … as the service says
  Usage usage = {};
  std::string reasoning = {};  ///< thoughts that some services send apart; never part of the text
  std::vector<ToolCall> tool_calls = {};  ///< with finish_reason "tool_calls"

  Completion() = default;
  Completion(std::string answer) : text(std::move(answer)) {}
  Completion(const char* answer) : text(answer) {}
  friend bool operator==(const Completion& a, std::string_view b) { return a.text == b; }
};

/// A mark of an answer as it stands in the text: [2], [1, 3] or [1-3]. One without any number could not be read: it is
/// cut off, as "[1" at the end of an answer that was too long, or malformed, as [3-1].
struct Citation {
  std::size_t begin = 0, end = 0;         ///< the mark's bytes of Answer::text, half-open
  std::vector<std::size_t> numbers = {};  ///< those that a snippet has, each once, as written: sources[number - 1]
  std::vector<std::size_t> unknown = {};  ///< those that none has; of a range, its ends

  bool operator==(const Citation&) const = default;
};

/// An answer and where it comes from. A mark [n] in the text stands for sources[n - 1].
struct Answer {
  std::string text;
  std::vector<Hit> sources = {};             ///< the snippets that the model was shown, in the prompt's order
  std::vector<std::size_t> cited = {};       ///< numbers cited, in order of first mention; each is in sources
  std::vector<std::size_t> unknown = {};     ///< numbers cited that no snippet has
  std::string finish_reason = "stop";
  Usage usage = {};
  std::vector<Citation> citations = {};      ///< every mark of the text, good or not, in order

  /// Does a mark name a snippet? Not so where the model says that it found no answer, nor where it invents one. It is no
  /// proof: whether the snippet says so is for a reader to see.
  bool supported() const { return !cited.empty(); }
};

/// The same question answered with and without retrieval.
struct Comparison {
  Answer with_retrieval;
  Answer without_retrieval;
};

/// Refers to a callable that takes pieces of text as they arrive; it owns nothing, so it is passed down and
/// not kept. The callable may return false to stop; one that returns nothing always goes on.
class TextSink {
 public:
  TextSink() = default;
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, TextSink> && std::is_invocable_v<F&, std::string_view>)
  TextSink(F&& callable)
      : object_(const_cast<void*>(static_cast<const void*>(&callable))), call_([](void* object, std::string_view piece) {
          auto& function = *static_cast<std::remove_reference_t<F>*>(object);
          if constexpr (std::is_same_v<decltype(function(piece)), bool>) return function(piece);
          else return function(piece), true;
        }) {}

  explicit operator bool() const { return call_ != nullptr; }
  /// False: the receiver wants no more.
  bool operator()(std::string_view piece) const { return call_ == nullptr || call_(object_, piece); }

 private:
  void* object_ = nullptr;
  bool (*call_)(void*, std::string_view) = nullptr;
};

/// What an encoder's products are made of; all else it computes in fp32. bf16 keeps 8 bits of a number: the cosine to
/// the vectors of fp32 is above 0.9999, and where the processor has fast instructions for it (AMX, AMD's AVX512-BF16) it
/// is faster. int16 keeps 13 bits of the largest number of a row, in the products with the weights: the cosine is above
/// 0.99999 (all-MiniLM-L6-v2), and with AVX512-VNNI (Intel from Ice Lake, AMD from Zen 4 on) it takes two thirds of the time.
/// Where the processor has no such instructions, fp32 is used.
enum class Precision : unsigned char { fp32, bf16, int16 };

struct Response {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
};

/// Refers to a callable that sees the status and the headers of an answer before its body comes; like TextSink it owns
/// nothing, and the callable may return false to stop.
class HeadSink {
 public:
  HeadSink() = default;
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, HeadSink> && std::is_invocable_v<F&, const Response&>)
  HeadSink(F&& callable)
      : object_(const_cast<void*>(static_cast<const void*>(&callable))), call_([](void* object, const Response& head) {
          auto& function = *static_cast<std::remove_reference_t<F>*>(object);
          if constexpr (std::is_same_v<decltype(function(head)), bool>) return function(head);
          else return function(head), true;
        }) {}

  explicit operator bool() const { return call_ != nullptr; }
  bool operator()(const Response& head) const { return call_ == nullptr || call_(object_, head); }

 private:
  void* object_ = nullptr;
  bool (*call_)(void*, const Response&) = nullptr;
};

/// One HTTP request. With `receive` set, the body of a 2xx answer goes there piece by piece as it arrives and
/// Response::body stays empty; the body of any other answer is kept in Response::body. With `head` set, a transport
/// that can calls it before the body, and gives a redirect as the answer that it is.
struct Request {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  std::string method = "POST";
  TextSink receive = {};
  HeadSink head = {};
};

RAG_END
#endif
