// SPDX-License-Identifier: MIT
#include <rag/chunk/code.hpp>
#include <rag/concepts.hpp>

#include "corpus.hpp"

#include <string>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

static_assert(rag::Chunker<rag::CodeChunker<>>);

Strings chunks(const std::string& text, std::size_t size) {
  Strings result;
  for (const rag::Chunk& chunk : rag::CodeChunker{{.size = size}}.chunk({"", text})) result.push_back(chunk.text);
  return result;
}

}  // namespace

TEST_CASE("CodeChunker leaves a text of the size whole and merges small neighbours") {
  CHECK(chunks("\n\n  int a;\n\nint b;\n", 100) == Strings{"  int a;\n\nint b;"});
  CHECK(chunks("int a;\n\nint b;\n\nint c;\n", 16) == Strings{"int a;\n\nint b;", "int c;"});
}

TEST_CASE("CodeChunker cuts C++ between functions, with the comment before each") {
  const std::string text =
      "#include <a>\n#include <b>\n\n// Adds.\nint add(int a, int b)\n{\n  int c = a;\n\n  return c + b;\n}\n"
      "/// Halves.\ntemplate <class T>\nT half(T a) {\n  if (a) {\n    return a / 2;\n  }\n  else\n    return a;\n}\n";

  CHECK(chunks(text, 110) ==
        Strings{"#include <a>\n#include <b>\n\n// Adds.\nint add(int a, int b)\n{\n  int c = a;\n\n  return c + b;\n}",
                "/// Halves.\ntemplate <class T>\nT half(T a) {\n  if (a) {\n    return a / 2;\n  }\n  else\n    "
                "return a;\n}"});
}

TEST_CASE("CodeChunker cuts a Python class into its methods") {
  const std::string text =
      "import os\n\nclass A(B):\n    \"\"\"Doc.\"\"\"\n\n    @property\n    def one(self):\n        return 1\n\n"
      "    # About two.\n    def two(self):\n        x = 2\n\n        return x\n\ndef free():\n    pass\n";

  CHECK(chunks(text, 70) ==
        Strings{"import os\n\nclass A(B):\n    \"\"\"Doc.\"\"\"", "    @property\n    def one(self):\n        return 1",
                "    # About two.\n    def two(self):\n        x = 2\n\n        return x", "def free():\n    pass"});
}

TEST_CASE("CodeChunker cuts Go, Rust, Java and JavaScript by the same principle") {
  CHECK(chunks("package a\n\nfunc One() int {\n\treturn 1\n}\n\n// Two.\nfunc Two() int {\n\treturn 2\n}\n", 45) ==
        Strings{"package a\n\nfunc One() int {\n\treturn 1\n}", "// Two.\nfunc Two() int {\n\treturn 2\n}"});
  CHECK(chunks("#[test]\nfn a() {\n    b();\n}\n#[test]\nfn c<'a>() {\n    d('}');\n}\n", 40) ==
        Strings{"#[test]\nfn a() {\n    b();\n}", "#[test]\nfn c<'a>() {\n    d('}');\n}"});
  CHECK(chunks("class A {\n  @Override\n  int a() {\n    return 1;\n  }\n\n  /**\n   * B.\n   */\n  int b() {\n    "
               "return 2;\n  }\n}\n",
               65) == Strings{"class A {\n  @Override\n  int a() {\n    return 1;\n  }",
                              "  /**\n   * B.\n   */\n  int b() {\n    return 2;\n  }\n}"});
  CHECK(chunks("const a = () => {\n  b(\"}\");\n};\nfunction c() {\n  d({\n    e: 1,\n  });\n}\n", 50) ==
        Strings{"const a = () => {\n  b(\"}\");\n};", "function c() {\n  d({\n    e: 1,\n  });\n}"});
}

TEST_CASE("CodeChunker cuts a long line after its marks") {
  CHECK(chunks("function a(){b();c()}function d(){e()}\n", 22) ==
        Strings{"function a(){b();c()}", "function d(){e()}"});
}

TEST_CASE("CodeChunker refuses a size of 0") { CHECK_THROWS_AS(rag::CodeChunker({.size = 0}), rag::Error); }
