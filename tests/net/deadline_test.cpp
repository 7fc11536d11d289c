// SPDX-License-Identifier: MIT
#include <rag/detail/deadline.hpp>

#include <doctest/doctest.h>

#include <chrono>

TEST_CASE("Under the SIGPIPE shield a write to a closed connection is an error and no signal, and the mask returns") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  ::close(ends[1]);

  {
    const rag::detail::SigpipeShield outer;
    const rag::detail::SigpipeShield inner;
    CHECK(::write(ends[0], "x", 1) == -1);
    CHECK(errno == EPIPE);
  }

  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  CHECK(sigismember(&mask, SIGPIPE) == 0);
  ::close(ends[0]);
}

TEST_CASE("A deadline ends a read that would block for good, and one in time leaves the connection alone") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  rag::detail::SocketHandle socket;
  socket.watch(ends[0]);
  char byte = 0;
  { const rag::detail::Deadline far(std::chrono::steady_clock::now() + std::chrono::hours(1), socket); }
  CHECK(::write(ends[1], "x", 1) == 1);
  CHECK(::read(ends[0], &byte, 1) == 1);

  rag::detail::Deadline near(std::chrono::steady_clock::now() + std::chrono::milliseconds(20), socket);
  CHECK_FALSE(near.over());
  CHECK(::read(ends[0], &byte, 1) == 0);
  CHECK(near.over());
  ::close(ends[0]);
  ::close(ends[1]);
}
