// SPDX-License-Identifier: MIT
#include <rag/progress.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <string>

namespace {

double now = 0;
double fake_clock() { return now; }

std::string text_of(std::FILE* file) {
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

}  // namespace

TEST_CASE("ProgressBar prints one plain line when the output is no terminal") {
  std::FILE* out = std::tmpfile();
  now = 100;
  {
    rag::ProgressBar bar("Creating embeddings", {.out = out, .terminal = false, .color = true, .clock = fake_clock});
    for (std::size_t i = 0; i <= 72; ++i) now += 0.05, bar(i, 72);
  }

  CHECK(text_of(out) == "Creating embeddings: 72/72 [00:03, 19.7/s]\n");
}

TEST_CASE("ProgressBar draws count, rate, time gone and time left on a terminal") {
  std::FILE* out = std::tmpfile();
  now = 0;
  {
    rag::ProgressBar bar("Work", {.out = out, .terminal = true, .color = false, .clock = fake_clock});
    now = 2, bar(25, 100);
    now = 2.05, bar(26, 100);  // too soon to draw again
    now = 4, bar(100, 100);
  }

  CHECK(text_of(out) ==
        "\rWork:  25% |######                  | 25/100 [00:02<00:06, 12.5/s]\x1b[K"
        "\rWork: 100% |########################| 100/100 [00:04, 25.0/s]\x1b[K\n");
}

TEST_CASE("ProgressBar uses colour only where it is asked for") {
  std::FILE* out = std::tmpfile();
  now = 0;
  { rag::ProgressBar("Work", {.out = out, .terminal = true, .color = true, .clock = fake_clock})(1, 1); }

  CHECK(text_of(out).find("\x1b[32m####") != std::string::npos);
}

TEST_CASE("ProgressBar ends its line when the work stops half-way, and says nothing when there was none") {
  std::FILE* out = std::tmpfile();
  now = 0;
  { rag::ProgressBar("Work", {.out = out, .terminal = false, .color = false, .clock = fake_clock})(0, 5); }
  { rag::ProgressBar("Idle", {.out = out, .terminal = false, .color = false, .clock = fake_clock}); }

  CHECK(text_of(out) == "Work: 0/5 [00:00<?, ?/s]\n");
}

TEST_CASE("ProgressBar shows hours") {
  std::FILE* out = std::tmpfile();
  now = 0;
  {
    rag::ProgressBar bar("Work", {.out = out, .terminal = true, .color = false, .clock = fake_clock});
    now = 3661, bar(1, 3);
  }

  CHECK(text_of(out).find("1/3 [1:01:01<2:02:02, 0.0/s]") != std::string::npos);
}
