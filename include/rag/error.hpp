// SPDX-License-Identifier: MIT
#ifndef RAG_ERROR_HPP
#define RAG_ERROR_HPP
#include <rag/version.hpp>

#include <stdexcept>
#include <string>

RAG_BEGIN

/// What went wrong, for a program; the text of the Error is for a person.
enum class Errc {
  invalid_argument,    ///< a value that no call can accept: k of 0 rows, NaN in a vector, an id in use
  dimension_mismatch,  ///< two parts disagree about the columns of a vector; both numbers are in the text
  io,                  ///< a file or folder could not be read or written
  corrupt,             ///< a file of ours is damaged; the text says where
  invalid_format,      ///< input that is not what it claims to be: UTF-8, JSON, safetensors, a model's config
  unsupported,         ///< well-formed, but not something this version can work with
  not_found,           ///< a named thing does not exist
  transport,           ///< no usable answer came over the network
  timeout,             ///< the answer did not come in time
  unauthorized,        ///< the service refused the key, or none was given
  rate_limited,        ///< the service asks to come back later
  service,             ///< the service answered with an error of its own
  busy,                ///< a file is open for writing elsewhere
  cancelled,           ///< the caller's own callback asked to stop
};

/// The one exception of the library. The text says who, what was wanted and what was met:
/// "FlatStore::add: 384 columns wanted, 768 given". It never holds a key.
class Error : public std::runtime_error {
 public:
  Error(Errc code, const std::string& text) : std::runtime_error(text), code_(code) {}
  Errc code() const noexcept { return code_; }
  /// Throws the same with another text, which says more of where it happened. A derived class keeps what else it has.
  [[noreturn]] virtual void rethrow(const std::string& text) const { throw Error(code_, text); }

 private:
  Errc code_;
};

RAG_END
#endif
