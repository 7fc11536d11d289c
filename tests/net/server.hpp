// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_NET_SERVER_HPP
#define RAG_TESTS_NET_SERVER_HPP

// A server on 127.0.0.1 that does with the bytes what a test says: well-behaved, slow, wrong or hostile.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace tests {

/// One accepted connection.
class Peer {
 public:
  explicit Peer(int socket) : socket_(socket) {}

  /// A whole request, head and body; empty when the client has closed.
  std::string read_request() {
    std::size_t wanted = std::string::npos;
    while (buffer_.size() < wanted || wanted == std::string::npos) {
      const std::size_t head = buffer_.find("\r\n\r\n");
      if (wanted == std::string::npos && head != std::string::npos) {
        const std::size_t length = buffer_.find("Content-Length: ");
        wanted = head + 4 + (length < head ? std::stoul(buffer_.substr(length + 16)) : 0);
        continue;
      }
      char bytes[4096];
      const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
      if (count <= 0) return {};
      buffer_.append(bytes, static_cast<std::size_t>(count));
    }
    std::string request = buffer_.substr(0, wanted);
    buffer_.erase(0, wanted);
    return request;
  }
  /// False when the client is gone.
  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  /// Waits until the client closes, or the server ends.
  void wait_for_close() {
    char byte;
    while (::recv(socket_, &byte, 1, 0) > 0) {
    }
  }
  /// Waits that long; false when the client closed meanwhile.
  bool pause(int milliseconds) {
    pollfd waiting{socket_, POLLRDHUP, 0};
    return ::poll(&waiting, 1, milliseconds) == 0;
  }
  int socket() const { return socket_; }
  /// Makes the coming close a reset.
  void reset_on_close() {
    const linger now{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

 private:
  int socket_;
  std::string buffer_;
};

/// Runs the handler once for each connection, each in a thread of its own; the connection closes when it returns.
class Server {
 public:
  explicit Server(std::function<void(Peer&)> handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 16);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept(); });
  }
  ~Server() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int socket : sockets_)
        if (socket >= 0) ::shutdown(socket, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const { return port_; }
  std::string url(const std::string& path = "/") const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return sockets_.size();
  }
  /// Waits until every connection so far is closed.
  void wait_for_end() const {
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
      const std::lock_guard lock(mutex_);
      if (std::all_of(sockets_.begin(), sockets_.end(), [](int socket) { return socket < 0; })) return;
    }
  }

 private:
  void accept() {
    for (int socket; (socket = ::accept(listener_, nullptr, nullptr)) >= 0;) {
      const int at_once = 1;  // as servers of streams do: no small write waits for the one before it
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
      const std::lock_guard lock(mutex_);
      sockets_.push_back(socket);
      threads_.emplace_back([this, socket, at = sockets_.size() - 1] {
        Peer peer(socket);
        handler_(peer);
        const std::lock_guard closing(mutex_);
        sockets_[at] = -1;
        ::close(socket);
      });
    }
  }

  std::function<void(Peer&)> handler_;
  int listener_ = -1, port_ = 0;
  mutable std::mutex mutex_;
  std::vector<int> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

/// A whole answer with its length.
inline std::string answer(int status, const std::string& body, const std::string& headers = {}) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         headers + "\r\n" + body;
}

/// Sends the same bytes to whoever asks, then closes.
inline std::function<void(Peer&)> always(const std::string& bytes) {
  return [bytes](Peer& peer) {
    if (!peer.read_request().empty()) peer.write(bytes);
  };
}

/// A well-behaved server for the laws of a transport: POST /<status> gives that status, the body back, and the
/// header X-Method. Connections stay open.
inline void echo(Peer& peer) {
  for (std::string request; !(request = peer.read_request()).empty();) {
    const std::size_t slash = request.find('/');
    const int status = std::stoi(request.substr(slash + 1, 3));
    const std::string body = status == 204 ? "" : request.substr(request.find("\r\n\r\n") + 4);
    const std::string method = "X-Method: " + request.substr(0, request.find(' ')) + "\r\n";
    if (!peer.write(status == 204 ? "HTTP/1.1 204 X\r\n" + method + "\r\n" : answer(status, body, method))) return;
  }
}

}  // namespace tests

#endif
