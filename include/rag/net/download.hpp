// SPDX-License-Identifier: MIT
#ifndef RAG_NET_DOWNLOAD_HPP
#define RAG_NET_DOWNLOAD_HPP
#include <rag/detail/file.hpp>
#include <rag/net/digest.hpp>
#include <rag/net/http.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// One file over HTTP that can be brought in several goes.

RAG_BEGIN
namespace detail {

RAG_LAZY bool is_redirect(const Response& response) {
  const int status = response.status;
  return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
         !header_of(response, "location").empty();
}

/// Where a redirect leads. From https only to https, from http only to https or to this machine.
RAG_LAZY Url redirect_target(const Url& from, const std::string& location, const std::string& who) {
  const bool path = location.starts_with('/') && !location.starts_with("//");
  Url url = parse_url(path ? from.origin() + location : location, who + ": redirect");
  if (url.scheme != "https" && (from.scheme == "https" || !is_loopback(url.host)))
    throw Error(Errc::transport,
                who + ": redirects from " + from.origin() + " to " + url.origin() + ", https wanted");
  return url;
}

/// A GET that follows at most five redirects. The token goes to the first address's origin alone.
RAG_LAZY Response get_following(const AnyTransport& transport, const std::string& address,
                                const std::string& token,
                                const std::vector<std::pair<std::string, std::string>>& headers,
                                HeadSink head, TextSink receive, const std::string& who) {
  Url url = parse_url(address, who);
  const std::string origin = url.origin();
  for (int step = 0; step <= 5; ++step) {
    Request request{.url = url.origin() + url.target, .headers = headers, .method = "GET"};
    if (!token.empty() && url.origin() == origin)
      request.headers.emplace_back("Authorization", "Bearer " + token);
    check_request(request, url, who);
    const auto see = [&](const Response& response) { return is_redirect(response) || head(response); };
    const auto take = [&](std::string_view piece) { return receive(piece); };
    request.head = see;
    request.receive = take;
    Response response = transport(request);
    if (!is_redirect(response)) return response;
    url = redirect_target(url, header_of(response, "location"), who);
  }
  throw Error(Errc::transport, who + ": " + origin + ": at most 5 redirects wanted, more given");
}

/// Throws for an answer that is not a success.
RAG_LAZY void check_status(const Response& response, const std::string& who) {
  const int status = response.status;
  if (status / 100 == 2) return;
  const Errc code = status == 401 || status == 403 ? Errc::unauthorized
                    : status == 404                ? Errc::not_found
                    : status == 429                ? Errc::rate_limited
                    : status >= 500                ? Errc::service
                                                   : Errc::transport;
  throw Error(code, who + ": status 200 wanted, " + std::to_string(status) + " given");
}

/// The number a text of digits writes; -1 for any other text.
RAG_LAZY std::int64_t whole_number(std::string_view text) {
  if (text.empty() || text.size() > 18) return -1;
  std::int64_t number = 0;
  for (const char c : text) {
    if (!is_digit(c)) return -1;
    number = number * 10 + (c - '0');
  }
  return number;
}

/// A file as a list announces it: the digests are in hexadecimal, "" where they are not known.
struct RemoteFile {
  std::string path;
  std::int64_t size = 0;
  std::string sha256 = {};
  std::string git_sha1 = {};  ///< of "blob SIZE\0" and the bytes
};

/// Both digests of a file's bytes, which come in order.
RAG_LAZY class BasicFileDigests {
 public:
  explicit BasicFileDigests(std::int64_t size) : head_("blob " + std::to_string(size) + '\0') { restart(); }
  void restart() {
    sha256_.restart(), sha1_.restart();
    sha1_.update(head_);
  }
  void update(std::string_view bytes) { sha256_.update(bytes), sha1_.update(bytes); }
  /// The SHA-256; throws where one that is wanted differs.
  std::string check(const RemoteFile& wanted, const std::string& who) {
    const std::string sha256 = sha256_.hex(), sha1 = sha1_.hex();
    const auto compare = [&](const char* name, const std::string& want, const std::string& met) {
      if (!want.empty() && want != met)
        throw Error(Errc::transport, who + ": " + name + " " + want + " wanted, " + met + " met");
    };
    compare("SHA-256", wanted.sha256, sha256);
    compare("git SHA-1", wanted.git_sha1, sha1);
    return sha256;
  }
  /// Reads that many bytes of an open file from `at` on.
  void update_from(const FileHandle& file, std::int64_t at, std::int64_t count) {
    std::string block(std::size_t{1} << 16, '\0');
    while (count > 0) {
      const auto step = static_cast<std::size_t>(std::min<std::int64_t>(count, 1 << 16));
      const ssize_t got = ::pread(file.descriptor(), block.data(), step, at);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) file.fail();
      update({block.data(), static_cast<std::size_t>(got)});
      at += got, count -= got;
    }
  }

 private:
  std::string head_;
  Digest sha256_{EVP_sha256()}, sha1_{EVP_sha1()};
};
using FileDigests = BasicFileDigests<>;

/// Brings a file to TARGET.part, in requests of 8 MiB so that no limit of a transport stands in the way, and
/// goes on where an earlier call stopped. TARGET.part.tag remembers which file the part is of. The caller
/// holds a lock.
RAG_LAZY class BasicFileDownload {
 public:
  static constexpr std::int64_t piece = 8 << 20;

  BasicFileDownload(const AnyTransport& transport, RemoteFile file, std::string url, std::string token,
                    const std::string& target, std::function<void(std::int64_t)> progress, std::string who)
      : transport_(transport),
        wanted_(std::move(file)),
        url_(std::move(url)),
        token_(std::move(token)),
        part_(target + ".part"),
        progress_(std::move(progress)),
        who_(std::move(who)),
        digests_(wanted_.size),
        file_(who_, part_, O_RDWR | O_CREAT | O_NOFOLLOW, 0644) {}

  /// The SHA-256 of the whole, checked and synced part. What an earlier call left may be wrong: then once
  /// more from 0.
  std::string bring() {
    take_up();
    for (bool resumed = at_ > 0;; resumed = false) {
      while (at_ < wanted_.size) ask();
      try {
        const std::string sha256 = digests_.check(wanted_, who_);
        file_.sync();
        return sha256;
      } catch (const Error& error) {
        if (error.code() != Errc::transport) throw;
        if (!resumed) {
          remove_part(part_);
          throw Error(error.code(), std::string(error.what()) + "; what came is thrown away");
        }
      }
      start_over();
    }
  }
  static void remove_part(const std::string& part) {
    std::remove(part.c_str()), std::remove((part + ".tag").c_str());
  }

 private:
  std::string key() const {
    return std::to_string(wanted_.size) + " " + wanted_.sha256 + " " + wanted_.git_sha1;
  }

  // What an earlier call left is hashed again, if it is of this file.
  void take_up() {
    std::string tag;
    if (std::FILE* file = std::fopen((part_ + ".tag").c_str(), "re")) {
      char text[1024];
      tag.assign(text, std::fread(text, 1, sizeof text, file));
      std::fclose(file);
    }
    struct stat status {};
    if (::fstat(file_.descriptor(), &status) != 0) file_.fail();
    const std::size_t line = tag.find('\n');
    const bool same = line != tag.npos && tag.substr(0, line) == key() && status.st_size <= wanted_.size;
    if (same)
      etag_ = tag.substr(line + 1);
    else
      write_tag("");
    cut(same ? status.st_size : 0);
    digests_.update_from(file_, 0, at_);
    progress_(at_);
  }

  void write_tag(const std::string& etag) {
    etag_ = etag;
    const std::string text = key() + "\n" + etag;
    const std::string_view pieces[] = {text};
    replace_file(who_, part_ + ".tag", pieces);
  }

  void cut(std::int64_t size) {
    if (::ftruncate(file_.descriptor(), size) != 0 || ::lseek(file_.descriptor(), size, SEEK_SET) != size)
      file_.fail();
    at_ = size;
  }

  void start_over() {
    if (++restarts_ > 2) refuse("the file changes while it is brought");
    cut(0);
    digests_.restart();
    write_tag("");
  }

  [[noreturn]] void refuse(const std::string& text) const {
    throw Error(Errc::transport, who_ + ": " + text);
  }

  void ask() {
    begin_ = at_, last_ = std::min(begin_ + piece, wanted_.size) - 1, spooled_ = 0, skip_ = false,
    judged_ = false;
    const int restarts = restarts_;
    std::vector<std::pair<std::string, std::string>> headers{
        {"Range", "bytes=" + std::to_string(begin_) + "-" + std::to_string(last_)}};
    if (begin_ > 0 && !etag_.empty()) headers.emplace_back("If-Range", etag_);
    const auto see = [this](const Response& head) { judge(head); };
    const auto take = [this](std::string_view bytes) { judged_ ? append(bytes) : spool(bytes); };
    try {
      const Response response = get_following(transport_, url_, token_, headers, see, take, who_);
      if (!judged_) judge_spool(response);
    } catch (const Error& error) {
      if (spooled_ > 0 && at_ == begin_) cut(begin_);
      throw Error(error.code(), who_ + ": " + std::to_string(at_) + " of " + std::to_string(wanted_.size) +
                                    " bytes are here: " + error.what() +
                                    "; calling again goes on from there");
    }
    if (restarts_ == restarts && at_ != limit_)
      refuse(std::to_string(limit_) + " bytes wanted, " + std::to_string(at_) +
             " given; calling again goes on from there");
  }

  // What the head of an answer means for the part.
  void judge(const Response& head) {
    judged_ = true;
    if (head.status == 416) return skip_ = true, start_over();
    check_status(head, who_);
    const std::string etag = header_of(head, "etag");
    const bool strong = etag.starts_with('"') && etag.size() < 256 && is_field_value(etag);
    if (head.status == 206) {
      const std::string range = "bytes " + std::to_string(begin_) + "-" + std::to_string(last_) + "/" +
                                std::to_string(wanted_.size);
      if (const std::string met = header_of(head, "content-range"); met != range)
        refuse("Content-Range " + range + " wanted, " + met.substr(0, 100) + " given");
      if (begin_ > 0 && !etag_.empty() && etag != etag_) return skip_ = true, start_over();
      limit_ = last_ + 1;
    } else {
      if (head.status != 200) refuse("status 200 or 206 wanted, " + std::to_string(head.status) + " given");
      const std::string length = header_of(head, "content-length");
      if (!length.empty() && whole_number(length) != wanted_.size)
        refuse(std::to_string(wanted_.size) + " bytes wanted, " + length.substr(0, 100) + " given");
      if (begin_ > 0) start_over();
      limit_ = wanted_.size;
    }
    if (strong && etag != etag_) write_tag(etag);
  }

  void append(std::string_view bytes) {
    if (skip_) return;
    if (static_cast<std::int64_t>(bytes.size()) > limit_ - at_) refuse("more bytes than announced given");
    file_.write(bytes);
    digests_.update(bytes);
    at_ += static_cast<std::int64_t>(bytes.size());
    progress_(at_);
  }

  // A transport that knows no Request::head: the bytes wait at the part's end until the status is known.
  void spool(std::string_view bytes) {
    if (static_cast<std::int64_t>(bytes.size()) > wanted_.size - spooled_)
      refuse("more bytes than announced given");
    file_.write(bytes);
    spooled_ += static_cast<std::int64_t>(bytes.size());
  }

  void judge_spool(const Response& response) {
    const bool from_start = begin_ == 0;
    judge(response);
    if (!response.body.empty() && spooled_ == 0 && at_ == begin_) return append(response.body);
    if (skip_ || (!from_start && at_ == 0)) return;  // cut by start_over()
    if (begin_ + spooled_ > limit_) {
      cut(begin_);
      refuse("more bytes than announced given");
    }
    digests_.update_from(file_, begin_, spooled_);
    at_ = begin_ + spooled_;
    progress_(at_);
  }

  const AnyTransport& transport_;
  RemoteFile wanted_;
  std::string url_, token_, part_;
  std::function<void(std::int64_t)> progress_;
  std::string who_, etag_;
  FileDigests digests_;
  FileHandle file_;
  std::int64_t at_ = 0, begin_ = 0, last_ = 0, limit_ = 0, spooled_ = 0;
  int restarts_ = 0;
  bool skip_ = false, judged_ = false;
};
using FileDownload = BasicFileDownload<>;

}  // namespace detail
RAG_END
#endif
