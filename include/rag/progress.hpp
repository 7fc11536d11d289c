// SPDX-License-Identifier: MIT
#ifndef RAG_PROGRESS_HPP
#define RAG_PROGRESS_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>

#include <unistd.h>

RAG_BEGIN
namespace detail {

/// Seconds of a clock that never goes back.
inline double monotonic_seconds() {
  std::timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline bool environment_has(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

/// "01:05", "1:01:05".
RAG_LAZY std::string clock_text(double seconds) {
  const unsigned long whole = seconds > 0 ? static_cast<unsigned long>(seconds) : 0;
  char text[32];
  if (whole >= 3600) std::snprintf(text, sizeof text, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
  else std::snprintf(text, sizeof text, "%02lu:%02lu", whole / 60, whole % 60);
  return text;
}

}  // namespace detail

struct ProgressOptions {
  std::FILE* out = stderr;
  bool terminal = ::isatty(STDERR_FILENO) == 1;  ///< false: nothing is drawn, one plain line comes at the end
  bool color = !detail::environment_has("NO_COLOR");
  double (*clock)() = detail::monotonic_seconds;
};

/// A progress bar on stderr: count, rate, time gone and time left. It is called with (done, total) and redrawn
/// at most ten times a second; anywhere but on a terminal it is one plain line at the end. NO_COLOR is honoured.
///
///     pipeline.add(documents, rag::ProgressBar("Creating embeddings"));
///     // Creating embeddings:  50% |##########          | 36/72 [00:01<00:01, 29.1/s]
RAG_LAZY class BasicProgressBar {
 public:
  explicit BasicProgressBar(std::string label, const ProgressOptions& options = {})
      : label_(std::move(label)), options_(options), start_(options.clock()) {}
  ~BasicProgressBar() { finish(); }
  BasicProgressBar(const BasicProgressBar&) = delete;
  BasicProgressBar& operator=(const BasicProgressBar&) = delete;

  void operator()(std::size_t done, std::size_t total) {
    done_ = done, total_ = total, seen_ = true;
    const double now = options_.clock();
    if (options_.terminal && (now - drawn_ >= 0.1 || done >= total)) draw(now);
    if (done >= total) finish();
  }

 private:
  void draw(double now) {
    drawn_ = now;
    constexpr std::size_t width = 24;
    const std::size_t filled = total_ == 0 ? width : std::min(width, width * done_ / total_);
    const std::size_t percent = total_ == 0 ? 100 : 100 * done_ / total_;
    const char* green = options_.color ? "\x1b[32m" : "";
    const char* plain = options_.color ? "\x1b[0m" : "";
    std::fprintf(options_.out, "\r%s: %3zu%% |%s%s%s%s| %s\x1b[K", label_.c_str(), percent, green,
                 std::string(filled, '#').c_str(), plain, std::string(width - filled, ' ').c_str(),
                 counts(now).c_str());
    std::fflush(options_.out);
  }

  // "36/72 [00:01<00:01, 29.1/s]"
  std::string counts(double now) const {
    const double gone = now - start_;
    const double rate = gone > 0 ? static_cast<double>(done_) / gone : 0;
    const double left = rate > 0 ? static_cast<double>(total_ - std::min(done_, total_)) / rate : 0;
    char speed[32];
    std::snprintf(speed, sizeof speed, rate > 0 ? "%.1f/s" : "?/s", rate);
    const std::string time_left = done_ >= total_ ? "" : "<" + (rate > 0 ? detail::clock_text(left) : "?");
    return std::to_string(done_) + "/" + std::to_string(total_) + " [" + detail::clock_text(gone) + time_left + ", " +
           speed + "]";
  }

  // Ends the line of a bar, or prints the plain one; once, also when the work stops half-way.
  void finish() {
    if (!seen_ || finished_) return;
    finished_ = true;
    if (options_.terminal) std::fputs("\n", options_.out);
    else std::fprintf(options_.out, "%s: %s\n", label_.c_str(), counts(options_.clock()).c_str());
    std::fflush(options_.out);
  }

  std::string label_;
  ProgressOptions options_;
  double start_;
  double drawn_ = -1;
  std::size_t done_ = 0, total_ = 0;
  bool seen_ = false, finished_ = false;
};
using ProgressBar = BasicProgressBar<>;

RAG_END
#endif
