// SPDX-License-Identifier: MIT
#ifndef RAG_NET_RETRY_HPP
#define RAG_NET_RETRY_HPP
#include <rag/net/http.hpp>
#include <rag/net/retry_after.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

RAG_BEGIN

/// How Retry asks again, and where it takes time and chance from; a test gives its own.
struct RetryOptions {
  std::size_t retries = 2;  ///< after the first try
  std::function<void(std::chrono::milliseconds)> sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); };
  std::function<std::chrono::system_clock::time_point()> now = [] { return std::chrono::system_clock::now(); };
  std::function<double()> random = [] {  ///< in [0, 1)
    thread_local std::minstd_rand engine{std::random_device{}()};
    return std::uniform_real_distribution<double>{}(engine);
  };
};

namespace detail {

/// Tells apart the tries of one request for a service that remembers them.
RAG_LAZY std::string idempotency_key(const std::function<double()>& random) {
  std::string key = "rag-retry-";
  for (int i = 0; i < 32; ++i) key += "0123456789abcdef"[static_cast<std::size_t>(random() * 16) & 15];
  return key;
}

/// The wait after try `tries` (0: the first): `first` seconds, doubled with each, at most 8 s, less up to a quarter by
/// chance.
RAG_LAZY std::chrono::milliseconds backoff(double first, std::size_t tries, const RetryOptions& options) {
  const double seconds = std::min(first * std::exp2(static_cast<double>(tries)), 8.0) * (1 - 0.25 * options.random());
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
}

/// An answer that asks for a longer wait is given back at once.
inline constexpr std::chrono::milliseconds longest_asked_wait{120'000};

/// The wait after try `tries`: what the answer asks for, else backoff().
RAG_LAZY std::chrono::milliseconds wait_after(std::optional<std::chrono::milliseconds> asked, double first, std::size_t tries,
                                              const RetryOptions& options) {
  return asked && asked->count() > 0 ? *asked : backoff(first, tries, options);
}

}  // namespace detail

/// A transport that asks again, as OpenAI's own client does: after 408, 409, 429, any status of 500 or more, and where no
/// answer came (timeout, transport); `x-should-retry` overrides the status. Unlike that client, not after a 500 that says
/// "too large", as llama-server's for a batch of embeddings does: it would stay so, and who asked sends less. It waits as long as the answer asks
/// (Retry-After, up to two minutes; one that asks for more is given back at once), else 0.5 s, 1 s, 2 s … at most 8 s, less
/// up to a quarter by chance. Never after a byte of a streamed answer was handed out, and nothing that the caller stopped.
/// All tries of a POST carry one Idempotency-Key. What the last try gave is given: its answer, or its Error.
///
///     rag::OpenAiLlm llm{rag::openrouter(), rag::Retry{rag::HttpsTransport{}}};
template <class T>
class Retry {
 public:
  static_assert(Transport<T>, "rag::Retry: argument 1 is not a Transport, see rag/concepts.hpp");

  explicit Retry(T transport, RetryOptions options = {}) : transport_(std::move(transport)), options_(std::move(options)) {
    if (!options_.sleep || !options_.now || !options_.random)
      throw Error(Errc::invalid_argument, "Retry: functions for sleep, now and random wanted, an empty one given");
  }

  Response operator()(const Request& request) const {
    Request tried = request;
    bool handed = false;
    const auto receive = [&](std::string_view piece) {
      handed = handed || !piece.empty();
      return request.receive(piece);
    };
    const auto head = [&](const Response& answer) { return request.head(answer); };
    if (request.receive) tried.receive = receive;
    if (request.head) tried.head = head;
    if (request.method == "POST" && options_.retries > 0 && !named(request))
      tried.headers.emplace_back("Idempotency-Key", detail::idempotency_key(options_.random));
    for (std::size_t tries = 0;; ++tries) {
      std::optional<Response> answer;
      try {
        answer = transport_(tried);
      } catch (const Error& error) {
        const bool none_came = error.code() == Errc::timeout || error.code() == Errc::transport;
        if (!none_came || handed || tries == options_.retries) throw;
      }
      if (answer && (tries == options_.retries || handed || !again(*answer))) return std::move(*answer);
      const auto asked = answer ? detail::asked_wait(*answer, options_.now()) : std::nullopt;
      options_.sleep(detail::wait_after(asked, 0.5, tries, options_));
    }
  }

 private:
  static bool named(const Request& request) {
    return std::any_of(request.headers.begin(), request.headers.end(),
                       [](const auto& header) { return detail::lower_ascii(header.first) == "idempotency-key"; });
  }

  bool again(const Response& answer) const {
    if (const auto asked = detail::asked_wait(answer, options_.now()); asked && *asked > detail::longest_asked_wait) return false;
    const std::string should = detail::header_of(answer, "x-should-retry");
    if (should == "true" || should == "false") return should == "true";
    const int status = answer.status;
    if (status == 500 && detail::lower_ascii(answer.body.substr(0, 4096)).find("too large") != std::string::npos) return false;
    return status == 408 || status == 409 || status == 429 || status >= 500;
  }

  T transport_;
  RetryOptions options_;
};

RAG_END
#endif
