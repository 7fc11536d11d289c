// SPDX-License-Identifier: MIT
#ifndef RAG_NET_SERVICE_ERROR_HPP
#define RAG_NET_SERVICE_ERROR_HPP
#include <rag/types.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

RAG_BEGIN

/// An Error with what the service said beside it, for a program that goes on from there. Every Error of a service's answer
/// is one, and every stream that fails after its first event.
///
///     try { answer = llm.complete(messages); }
///     catch (const rag::ServiceError& error) { if (error.retry_after()) ask_again_in(*error.retry_after()); }
class ServiceError : public Error {
 public:
  ServiceError(Errc code, const std::string& text, int status, std::string message = {},
               std::optional<std::chrono::milliseconds> retry_after = {}, Completion partial = {})
      : Error(code, text),
        facts_(std::make_shared<const Facts>(Facts{status, std::move(message), retry_after, std::move(partial)})) {}

  [[noreturn]] void rethrow(const std::string& text) const override { throw ServiceError(code(), text, facts_); }

  /// The HTTP status, or the one that an error inside a 2xx answer names.
  int status() const noexcept { return facts_->status; }
  /// The service's own words: one line, cut after 300 bytes, without the key; "" where it had none.
  const std::string& message() const noexcept { return facts_->message; }
  /// How long it asks to be left alone; nothing where it does not say.
  std::optional<std::chrono::milliseconds> retry_after() const noexcept { return facts_->retry_after; }
  /// What came of a streamed answer before it failed: the text is what was handed out.
  const Completion& partial() const noexcept { return facts_->partial; }

 private:
  struct Facts {
    int status;
    std::string message;
    std::optional<std::chrono::milliseconds> retry_after;
    Completion partial;
  };
  ServiceError(Errc code, const std::string& text, std::shared_ptr<const Facts> facts) : Error(code, text), facts_(std::move(facts)) {}

  std::shared_ptr<const Facts> facts_;  // an exception is copied, and a copy must not throw
};

RAG_END
#endif
