// SPDX-License-Identifier: MIT
#include <rag/embed/download.hpp>
#include <rag/net/https.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "../net/server.hpp"
#include "../paths.hpp"

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string digest(const EVP_MD* kind, const std::string& bytes) {
  rag::detail::Digest hash(kind);
  hash.update(bytes);
  return hash.hex();
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string noise(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return text;
}

/// A hub on 127.0.0.1 with one model, o/m, and the faults that a test asks for.
class Hub {
 public:
  std::map<std::string, std::string> files{{"config.json", "{}"}, {"model.safetensors", noise(1'000'000, 1)},
                                           {"1_Pooling/config.json", "{\"a\":1}"}, {"onnx/model.onnx", "no"}, {"README.md", "no"}};
  std::string list = {};                ///< in place of the true one
  std::string etag = "\"one\"";
  std::size_t cut_at = std::string::npos;  ///< bytes of model.safetensors, of the whole file, after which the connection ends
  std::string answer = {};              ///< in place of model.safetensors' answer
  bool ranges = true;
  bool length = true;

  std::vector<std::string> seen() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::string url() const { return server_.url(""); }

  std::string tree() const {
    std::string text = "[{\"type\":\"directory\",\"oid\":\"x\",\"size\":0,\"path\":\"onnx\"}";
    for (const auto& [path, bytes] : files) {
      const std::string size = std::to_string(bytes.size());
      text += ",{\"type\":\"file\",\"size\":" + size + ",\"path\":\"" + path + "\",\"oid\":\"" +
              digest(EVP_sha1(), "blob " + size + std::string(1, '\0') + bytes) + "\"";
      if (path == "model.safetensors") text += ",\"lfs\":{\"oid\":\"" + digest(EVP_sha256(), bytes) + "\",\"size\":" + size + "}";
      text += "}";
    }
    return text + "]";
  }

 private:
  void serve(tests::Peer& peer) {
    for (std::string request; !(request = peer.read_request()).empty();) {
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      const std::string path = request.substr(4, request.find(' ', 4) - 4);
      if (path == "/api/models/o/m/tree/main?recursive=true") {
        peer.write(tests::answer(200, list.empty() ? tree() : list));
        continue;
      }
      const std::string prefix = "/o/m/resolve/main/";
      const std::string name = path.starts_with(prefix) ? path.substr(prefix.size()) : "";
      if (!files.contains(name)) peer.write(tests::answer(404, "none"));
      else if (name != "model.safetensors") peer.write(tests::answer(200, files[name]));
      else if (!answer.empty()) return void(peer.write(answer));
      else if (!send(peer, request, files[name])) return;
    }
  }

  bool send(tests::Peer& peer, const std::string& request, const std::string& bytes) {
    std::size_t begin = 0, end = bytes.size();
    const std::size_t range = request.find("Range: bytes="), condition = request.find("If-Range: ");
    const bool same = condition == std::string::npos || request.compare(condition + 10, etag.size(), etag) == 0;
    std::string head = "HTTP/1.1 200 X\r\n";
    if (ranges && same && range != std::string::npos) {
      begin = std::stoul(request.substr(range + 13));
      end = std::min(end, std::stoul(request.substr(request.find('-', range + 13) + 1)) + 1);
      head = "HTTP/1.1 206 X\r\nContent-Range: bytes " + std::to_string(begin) + "-" + std::to_string(end - 1) + "/" +
             std::to_string(bytes.size()) + "\r\n";
    }
    head += (length ? "Content-Length: " + std::to_string(end - begin) + "\r\n" : "Connection: close\r\n") + "ETag: " + etag + "\r\n\r\n";
    const std::size_t stop = std::max(begin, std::min(end, cut_at));
    return peer.write(head + bytes.substr(begin, stop - begin)) && stop == end && length;
  }

  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  tests::Server server_{[this](tests::Peer& peer) { serve(peer); }};
};

struct Place {
  tests::TemporaryFolder temporary;
  std::string folder = (temporary / "m").string();

  rag::DownloadOptions options(const Hub& hub) const { return {.base_url = hub.url(), .folder = folder}; }
  std::string model() const { return read(folder + "/model.safetensors"); }
  std::size_t part_size() const {
    std::error_code none;
    const auto size = std::filesystem::file_size(folder + "/model.safetensors.part", none);
    return none ? 0 : static_cast<std::size_t>(size);
  }
};

std::string failure(const Place& place, const Hub& hub, rag::Errc code, rag::DownloadOptions options = {},
                    const rag::AnyTransport& transport = rag::HttpsTransport{}) {
  if (options.base_url.empty()) options.base_url = hub.url();
  if (options.folder.empty()) options.folder = place.folder;
  try {
    rag::download_model("o/m", transport, options);
  } catch (const rag::Error& error) {
    CHECK_MESSAGE(error.code() == code, error.what());
    return error.what();
  }
  FAIL_CHECK("no error");
  return "";
}

/// HttpsTransport as a transport that knows no Request::head.
rag::AnyTransport without_head() {
  return [transport = rag::HttpsTransport{}](rag::Request request) {
    request.head = {};
    return transport(request);
  };
}

}  // namespace

TEST_CASE("download_model brings the files that the library reads, and a second call makes no request") {
  Hub hub;
  const Place place;
  std::size_t done = 0, total = 0;
  rag::DownloadOptions options = place.options(hub);
  options.progress = [&](std::size_t d, std::size_t t) { CHECK(d >= done); done = d, total = t; };

  CHECK(rag::download_model("o/m", rag::HttpsTransport{}, options) == place.folder);
  CHECK(place.model() == hub.files["model.safetensors"]);
  CHECK(read(place.folder + "/1_Pooling/config.json") == "{\"a\":1}");
  CHECK(!std::filesystem::exists(place.folder + "/onnx"));
  CHECK(!std::filesystem::exists(place.folder + "/model.safetensors.part"));
  CHECK(!std::filesystem::exists(place.folder + "/model.safetensors.part.tag"));
  CHECK(done == total);
  CHECK(total == 1'000'009);

  const rag::AnyTransport none = [](const rag::Request&) -> rag::Response { throw rag::Error(rag::Errc::transport, "offline"); };
  CHECK(rag::download_model("o/m", none, options) == place.folder);
  options.sha256["model.safetensors"] = digest(EVP_sha256(), hub.files["model.safetensors"]);
  CHECK(rag::download_model("o/m", none, options) == place.folder);
  std::filesystem::resize_file(place.folder + "/1_Pooling/config.json", 3);
  CHECK_THROWS(rag::download_model("o/m", none, options));
}

TEST_CASE("A download cut at every 64 KiB goes on there and asks only for the rest") {
  for (std::size_t at = 0; at < 1'000'000; at += 65536) {
    CAPTURE(at);
    Hub hub;
    const Place place;
    hub.cut_at = at;
    CHECK(contains(failure(place, hub, rag::Errc::transport), "calling again"));
    CHECK(place.part_size() == at);
    CHECK(!std::filesystem::exists(place.folder + "/model.safetensors"));

    hub.cut_at = std::string::npos;
    rag::download_model("o/m", rag::HttpsTransport{}, place.options(hub));
    CHECK(contains(hub.seen().back(), "Range: bytes=" + std::to_string(at) + "-999999\r\n"));
    CHECK(contains(hub.seen().back(), "If-Range: \"one\"") == (at > 0));
    CHECK(place.model() == hub.files["model.safetensors"]);
  }
}

TEST_CASE("A transport without Request::head brings the same bytes, also where the server knows no ranges") {
  for (const bool ranges : {true, false}) {
    Hub hub;
    const Place place;
    hub.ranges = ranges;
    hub.cut_at = 300'000;
    failure(place, hub, rag::Errc::transport, {}, without_head());
    CHECK(place.part_size() == 0);
    hub.cut_at = std::string::npos;
    rag::download_model("o/m", without_head(), place.options(hub));
    CHECK(place.model() == hub.files["model.safetensors"]);
  }
}

TEST_CASE("An answer of 200, another ETag or 416 starts the file over") {
  for (const std::string fault : {"200", "etag", "416", "ignored If-Range"}) {
    for (const bool head : {true, false}) {
      CAPTURE(fault);
      CAPTURE(head);
      Hub hub;
      const Place place;
      hub.cut_at = 300'000;
      failure(place, hub, rag::Errc::transport);
      hub.cut_at = std::string::npos;
      if (fault == "200") hub.ranges = false;
      if (fault == "etag") hub.etag = "\"two\"";
      bool once = fault == "416" || fault == "ignored If-Range";
      rag::AnyTransport transport = [&, inner = rag::HttpsTransport{}](rag::Request request) {
        if (!head) request.head = {};
        if (once && contains(request.url, "model.safetensors")) {
          once = false;
          rag::Response response{416, {}, "no"};
          if (fault != "416") response = {206, {{"Content-Range", "bytes 300000-999999/1000000"}, {"ETag", "\"two\""}}, ""};
          request.head(response);
          if (fault != "416") request.receive(std::string(700'000, 'x'));
          return response;
        }
        return inner(request);
      };
      rag::download_model("o/m", transport, place.options(hub));
      CHECK(place.model() == hub.files["model.safetensors"]);
    }
  }
}

TEST_CASE("Every fault is an Error of its kind and leaves the old model as it was") {
  Hub hub;
  const Place place;
  rag::download_model("o/m", rag::HttpsTransport{}, place.options(hub));
  const std::string old = place.model();
  hub.files["model.safetensors"] = noise(1'000'000, 2);
  hub.files["config.json"] = "{\"new\":1}";
  const std::string good = hub.tree(), fresh = hub.files["model.safetensors"];
  std::filesystem::remove(place.folder + "/.rag-download");
  std::ofstream(place.folder + "/.rag-download") << "stale";
  const auto check_old = [&] {
    CHECK(place.model() == old);
    CHECK(read(place.folder + "/config.json") == "{}");
  };

  SUBCASE("wrong digest") {
    hub.list = good;
    hub.files["model.safetensors"] = noise(1'000'000, 3);
    const std::string text = failure(place, hub, rag::Errc::transport);
    CHECK(contains(text, digest(EVP_sha256(), fresh) + " wanted"));
    CHECK(contains(text, digest(EVP_sha256(), noise(1'000'000, 3)) + " met"));
    CHECK(place.part_size() == 0);
    check_old();
  }
  SUBCASE("wrong digest of a small file") {
    hub.list = good;
    hub.files["config.json"] = "{\"bad\":1}";
    CHECK(contains(failure(place, hub, rag::Errc::transport), "git SHA-1"));
    check_old();
  }
  SUBCASE("a pin that differs") {
    CHECK(contains(failure(place, hub, rag::Errc::transport, {.sha256 = {{"model.safetensors", std::string(64, '0')}}}), "000 wanted"));
    check_old();
  }
  SUBCASE("short, long and lying lengths") {
    for (const std::string& answer :
         {tests::answer(200, fresh.substr(1)), tests::answer(200, fresh + "x"),
          "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + fresh + "x", "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + fresh.substr(1),
          std::string("HTTP/1.1 200 X\r\nContent-Length: 99999999999999999\r\n\r\nx"),
          tests::answer(206, fresh, "Content-Range: bytes 1-1000000/1000001\r\n"), tests::answer(206, fresh),
          tests::answer(206, "xx", "Content-Range: bytes 0-1/1000000\r\n"), tests::answer(204, "")}) {
      CAPTURE(answer.substr(0, 100));
      hub.answer = answer;
      failure(place, hub, rag::Errc::transport);
      failure(place, hub, rag::Errc::transport, {}, without_head());
      check_old();
      CHECK(place.part_size() <= 1'000'000);
    }
  }
  SUBCASE("statuses") {
    for (const auto& [status, code] : {std::pair{404, rag::Errc::not_found}, {401, rag::Errc::unauthorized}, {429, rag::Errc::rate_limited},
                                       {503, rag::Errc::service}}) {
      hub.answer = tests::answer(status, "no");
      failure(place, hub, code);
      failure(place, hub, code, {}, without_head());
      check_old();
    }
  }
  SUBCASE("no room") {
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{500'000, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    CHECK(contains(failure(place, hub, rag::Errc::io), "too large"));
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK(place.part_size() == 500'000);
    check_old();
  }
  hub.list.clear(), hub.answer.clear();
  hub.files["model.safetensors"] = fresh;
  hub.files["config.json"] = "{\"new\":1}";
  rag::download_model("o/m", rag::HttpsTransport{}, place.options(hub));
  CHECK(place.model() == fresh);
  CHECK(read(place.folder + "/config.json") == "{\"new\":1}");
}

TEST_CASE("A list that lies is refused before a file is asked for") {
  const std::string a = "[{\"type\":\"file\",\"size\":2,\"oid\":\"" + std::string(40, 'a') + "\",\"path\":\"";
  std::string million = "[";
  for (int i = 0; i < 1'000'000; ++i) million += "{\"path\":\"config.json\",\"size\":1},";
  for (const std::string& list :
       {a + "../x\"}]", a + "/etc/x\"}]", a + "1_P/../../config.json\"}]", a + "a\\\\b\"}]", std::string("{}"), std::string("[1"),
        std::string("[{\"path\":\"config.json\",\"size\":-1}]"), std::string("[{\"path\":\"config.json\",\"size\":1e30}]"),
        std::string("[{\"path\":\"config.json\",\"size\":99999999999999}]"), std::string("[{\"path\":1,\"size\":1}]"),
        std::string("[{\"path\":\"config.json\",\"size\":1,\"oid\":\"\"}]"), million.substr(0, 4'000'000) + "1]", std::string(5 << 20, ' ')}) {
    CAPTURE(list.substr(0, 100));
    Hub hub;
    const Place place;
    hub.list = list;
    failure(place, hub, list[0] == ' ' ? rag::Errc::transport : rag::Errc::invalid_format);
    CHECK(hub.seen().size() == 1);
  }
  Hub hub;
  const Place place;
  hub.files.erase("model.safetensors");
  CHECK(contains(failure(place, hub, rag::Errc::not_found), "no model.safetensors"));
  CHECK(contains(failure(place, hub, rag::Errc::not_found, {.revision = "other"}), "404"));
}

TEST_CASE("Redirects are followed at most five times, never from https to http, and the token stays at its origin") {
  Hub hub, other;
  const Place place;
  hub.answer = "HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: " + other.url() + "/o/m/resolve/main/model.safetensors\r\n\r\n";
  rag::DownloadOptions options = place.options(hub);
  options.token = "hf-canary";
  rag::download_model("o/m", rag::HttpsTransport{}, options);
  CHECK(place.model() == other.files["model.safetensors"]);
  for (const std::string& request : hub.seen()) CHECK(contains(request, "Authorization: Bearer hf-canary\r\n"));
  REQUIRE(other.seen().size() == 1);
  CHECK(!contains(other.seen()[0], "canary"));

  const Place second;
  hub.answer = "HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: /o/m/resolve/main/model.safetensors\r\n\r\n";
  const std::string text = failure(second, hub, rag::Errc::transport, {.token = "hf-canary"});
  CHECK(contains(text, "at most 5 redirects"));
  CHECK(!contains(text, "canary"));
  hub.answer = "HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: http://example.com/x\r\n\r\n";
  CHECK(contains(failure(second, hub, rag::Errc::transport), "https wanted"));

  const rag::AnyTransport tape = [&](const rag::Request&) { return rag::Response{302, {{"Location", hub.url()}}, ""}; };
  CHECK(contains(failure(second, hub, rag::Errc::transport, {.base_url = "https://hub.example"}, tape), "https wanted"));
  CHECK(contains(failure(second, hub, rag::Errc::invalid_argument, {.base_url = "http://hub.example"}, tape), "https wanted"));
}

TEST_CASE("Two downloads of one model at once give one whole model, brought once") {
  Hub hub;
  const Place place;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { rag::download_model("o/m", rag::HttpsTransport{}, place.options(hub)); });
  for (std::thread& thread : threads) thread.join();
  CHECK(place.model() == hub.files["model.safetensors"]);
  CHECK(hub.seen().size() == 4);
}

TEST_CASE("A folder that another filled is taken as it is, and HF_ENDPOINT names the hub") {
  Hub hub;
  const Place place;
  std::filesystem::create_directories(place.folder);
  std::ofstream(place.folder + "/config.json") << "{}";
  std::ofstream(place.folder + "/model.safetensors") << "x";
  CHECK(rag::download_model("o/m", rag::HttpsTransport{}, place.options(hub)) == place.folder);
  CHECK(hub.seen().empty());

  const Place second;
  ::setenv("HF_ENDPOINT", (hub.url() + "/").c_str(), 1);
  rag::download_model("o/m", rag::HttpsTransport{}, {.folder = second.folder, .files = {"README.md", "config.json", "model.safetensors"}});
  ::unsetenv("HF_ENDPOINT");
  CHECK(read(second.folder + "/README.md") == "no");
  CHECK(second.model() == hub.files["model.safetensors"]);
}
