// SPDX-License-Identifier: MIT
#ifndef RAG_NET_SSE_HPP
#define RAG_NET_SSE_HPP
#include <rag/error.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

RAG_BEGIN

/// One event of a text/event-stream.
struct ServerSentEvent {
  std::string name;  ///< the `event` field, empty where there was none
  std::string data;  ///< the `data` fields, joined by line ends
};

/// Cuts a text/event-stream into events, by the rules of the HTML standard (9.2.6). Bytes may come in any
/// pieces: where they are cut changes nothing. The fields `id` and `retry` are for reconnecting and are left out.
/// An event that the stream's end cuts off is not given.
///
///     rag::SseParser parser;
///     parser.feed("data: hi\n\n", [](const rag::ServerSentEvent& event) { print(event.data); return true; });
RAG_LAZY class BasicSseParser {
 public:
  /// One event (or comment) may hold that many bytes.
  explicit BasicSseParser(std::size_t max_event_bytes = std::size_t{1} << 20) : max_(max_event_bytes) {}

  /// Calls on_event(event) -> bool for every event that ends in this piece. False stops: feed() then returns
  /// false, and the rest of the piece is dropped. An event beyond the limit is an Error (transport).
  template <class F>
  bool feed(std::string_view piece, F&& on_event) {
    while (!piece.empty()) {
      if (after_return_ && piece.front() == '\n') piece.remove_prefix(1);  // the second half of \r\n
      after_return_ = false;
      const std::size_t end = std::min(piece.find_first_of("\r\n"), piece.size());
      if (line_.size() + event_.data.size() + end > max_)
        throw Error(Errc::transport, "SseParser: an event of at most " + std::to_string(max_) + " bytes wanted");
      line_.append(piece.substr(0, end));
      if (end == piece.size()) return true;
      after_return_ = piece[end] == '\r';
      piece.remove_prefix(end + 1);
      if (take_line() && !give(on_event)) return false;
    }
    return true;
  }

 private:
  /// True: the line was blank and ends an event that has data.
  bool take_line() {
    std::string_view line = line_;
    if (first_line_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    first_line_ = false;
    const bool blank = line.empty();
    if (!blank) take_field(line);
    else if (!has_data_) event_.name.clear();
    line_.clear();
    return blank && has_data_;
  }

  // A comment begins with the colon, so its name is empty and it falls through.
  void take_field(std::string_view line) {
    const std::size_t colon = std::min(line.find(':'), line.size());
    const std::string_view name = line.substr(0, colon);
    line.remove_prefix(std::min(colon + 1, line.size()));
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (name == "event") event_.name = line;
    if (name != "data") return;
    if (has_data_) event_.data += '\n';
    event_.data += line;
    has_data_ = true;
  }

  template <class F>
  bool give(F& on_event) {
    const ServerSentEvent event = std::exchange(event_, {});
    has_data_ = false;
    return on_event(event);
  }

  std::size_t max_;
  std::string line_;
  ServerSentEvent event_;
  bool has_data_ = false, after_return_ = false, first_line_ = true;
};
using SseParser = BasicSseParser<>;

RAG_END
#endif
