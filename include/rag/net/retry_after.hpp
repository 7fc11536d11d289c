// SPDX-License-Identifier: MIT
#ifndef RAG_NET_RETRY_AFTER_HPP
#define RAG_NET_RETRY_AFTER_HPP
#include <rag/net/http.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

RAG_BEGIN
namespace detail {

/// A date as HTTP writes it (RFC 9110, 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT".
RAG_LAZY std::optional<std::chrono::sys_seconds> http_date(std::string_view text) {
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != 29 || text.substr(25) != " GMT" || text[3] != ',' || text[19] != ':' || text[22] != ':') return {};
  const std::size_t month = months.find(text.substr(8, 3));
  const int day = small_number(text.substr(5, 2), 31), year = small_number(text.substr(12, 4), 9999);
  const int hour = small_number(text.substr(17, 2), 23), minute = small_number(text.substr(20, 2), 59), second = small_number(text.substr(23, 2), 60);
  if (month == months.npos || month % 3 != 0 || std::min({day, year, hour, minute, second}) < 0) return {};
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month / 3 + 1)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return {};
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
}

/// The number that all of the text writes; nothing for any other text.
RAG_LAZY std::optional<double> plain_number(std::string_view text) {
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{} || end != text.data() + text.size() || !std::isfinite(number)) return {};
  return number;
}

/// When an answer asks to be asked again, in seconds from `now` on: retry-after-ms, else retry-after in seconds or as a
/// date. Nothing where it does not say.
RAG_LAZY std::optional<double> retry_after(const Response& response, std::chrono::system_clock::time_point now) {
  if (const auto milliseconds = plain_number(header_of(response, "retry-after-ms"))) return *milliseconds / 1000;
  const std::string text = header_of(response, "retry-after");
  if (const auto seconds = plain_number(text)) return seconds;
  using Seconds = std::chrono::duration<double>;  // nanoseconds of the system's clock end in the year 2262
  if (const auto date = http_date(text)) return (Seconds(date->time_since_epoch()) - Seconds(now.time_since_epoch())).count();
  return {};
}

/// The same as a wait; nothing, too, where that time is past. At most a third of a century, so that no number overflows.
RAG_LAZY std::optional<std::chrono::milliseconds> asked_wait(const Response& response, std::chrono::system_clock::time_point now) {
  constexpr double longest = 1e9;
  const std::optional<double> seconds = retry_after(response, now);
  if (!seconds || *seconds < 0) return {};
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(std::min(*seconds, longest) * 1000)));
}

/// What an error's text says of it: "; it asks to come back in 5 s", or "".
RAG_LAZY std::string come_back_in(std::optional<std::chrono::milliseconds> wait) {
  if (!wait || wait->count() <= 0) return "";
  return "; it asks to come back in " + (wait->count() < 1000 ? std::to_string(wait->count()) + " ms"
                                                              : std::to_string((wait->count() + 999) / 1000) + " s");
}

}  // namespace detail
RAG_END
#endif
