// SPDX-License-Identifier: MIT
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/safetensors.hpp>

#include <doctest/doctest.h>

#include "paths.hpp"

#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <string>

using namespace rag::detail;

namespace {

std::string file_of(const std::string& header, std::size_t data, std::uint64_t length) {
  std::string file;
  for (int shift = 0; shift < 64; shift += 8) file += static_cast<char>(length >> shift & 0xFF);
  return file + header + std::string(data, '\0');
}
std::string file_of(const std::string& header, std::size_t data) { return file_of(header, data, header.size()); }

/// Why the file is refused; "" if it is not.
std::string refusal(const std::string& file) {
  try {
    read_safetensors(file, "T");
    return "";
  } catch (const rag::Error& error) {
    CHECK(error.code() == rag::Errc::invalid_format);
    return error.what();
  }
}

bool refused(const std::string& file, std::string_view why) {
  const std::string said = refusal(file);
  CAPTURE(said);
  const bool right = said.find(why) != std::string::npos && said.starts_with("T: ");
  CHECK(right);
  return right;
}

std::string tensor(const std::string& name, const std::string& type, const std::string& shape, const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

}  // namespace

TEST_CASE("a safetensors file gives its tensors by name") {
  std::string file = file_of("{" + tensor("b", "F32", "[2,3]", "[8,32]") + "," + tensor("a", "I64", "[1]", "[0,8]") +
                                 R"(,"__metadata__":{"format":"pt"}}  )",
                             32);
  const float value = 2.5f;
  std::memcpy(file.data() + file.size() - 4, &value, 4);

  const Tensors tensors = read_safetensors(file, "T");

  CHECK(tensors.size() == 2);
  const Tensor& b = tensors.at("b");
  CHECK(b.type == "F32");
  CHECK(b.shape == std::vector<std::size_t>{2, 3});
  CHECK(b.bytes.size() == 24);
  CHECK(b.bytes.end() == std::string_view(file).end());
  CHECK(tensors.at("a").bytes.data() == file.data() + file.size() - 32);
}

TEST_CASE("what the format allows at its edges is read") {
  CHECK(refusal(file_of("{}", 0)) == "");
  CHECK(refusal(file_of("{" + tensor("", "F32", "[]", "[0,4]") + "}", 4)) == "");  // no name, a single value
  CHECK(refusal(file_of("{" + tensor("a", "F32", "[0,18446744073709551615,2]", "[0,0]") + "}", 0)) == "");
  CHECK(refusal(file_of("{" + tensor("z", "F32", "[0]", "[0,0]") + "," + tensor("a", "U8", "[3]", "[0,3]") + "," +
                            tensor("m", "F32", "[0]", "[3,3]") + "}",
                        3)) == "");
  CHECK(refusal(file_of("{" + tensor("a", "F4", "[4]", "[0,2]") + "}", 2)) == "");
  CHECK(refusal(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":[[1]]}})", 1)) == "");
}

TEST_CASE("each rule of the format refuses the nearest file that breaks it") {
  const std::string one = tensor("a", "F32", "[2]", "[0,8]");
  REQUIRE(refusal(file_of("{" + one + "}", 8)) == "");
  // The file and its header.
  CHECK(refused("", "8 bytes wanted"));
  CHECK(refused(std::string(7, '\0'), "8 bytes wanted"));
  CHECK(refused(std::string(8, '\0'), "does not begin with '{'"));
  CHECK(refused(file_of("{}", 0, 3), "the file ends before"));
  CHECK(refused(file_of("{}", 0, 100'000'000), "the file ends before"));
  CHECK(refused(file_of("{}", 0, 100'000'001), "too long"));
  CHECK(refused(file_of("{}", 0, std::uint64_t(1) << 63), "too long"));
  CHECK(refused(file_of("{}", 0, ~std::uint64_t(0)), "too long"));
  CHECK(refused(file_of(" {}", 0), "does not begin"));
  CHECK(refused(file_of(std::string("{}\0", 3), 0), "zero byte"));
  CHECK(refused(file_of("{}x", 0), "not JSON"));
  CHECK(refused(file_of("{\"\xff\":1}", 0), "not JSON"));
  CHECK(refused(file_of("{" + one, 8), "not JSON"));
  CHECK(refused(file_of("{" + one + "," + one + "}", 8), "'a' twice"));
  CHECK(refused(file_of(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), "'dtype' twice"));
  CHECK(refused(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":[[[1]]]}})", 1), "deeper than 4"));
  CHECK(refused(file_of("{\"a\":" + std::string(1000, '['), 0), "deeper than 4"));
  CHECK(refused(file_of(R"({"__metadata__":{"a":1}})", 0), "more than strings"));
  CHECK(refused(file_of(R"({"__metadata__":[]})", 0), "not an object"));
  // A tensor's own fields.
  CHECK(refused(file_of(R"({"a":3})", 0), "not an object"));
  CHECK(refused(file_of(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1), "no known dtype"));
  CHECK(refused(file_of("{" + tensor("a", "F31", "[2]", "[0,8]") + "}", 8), "no known dtype"));
  CHECK(refused(file_of(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1), "no shape"));
  for (const char* shape : {"[-1]", "[2.0]", "[\"2\"]", "2", "[18446744073709551616]"}) {
    CAPTURE(shape);
    CHECK(refused(file_of("{" + tensor("a", "F32", shape, "[0,8]") + "}", 8), "no shape"));
  }
  for (const char* offsets : {"[0]", "[0,8,8]", "[-1,8]", "8"}) {
    CAPTURE(offsets);
    CHECK(refused(file_of("{" + tensor("a", "F32", "[2]", offsets) + "}", 8), "no data_offsets"));
  }
  // Sizes against each other.
  CHECK(refused(file_of("{" + tensor("a", "F32", "[18446744073709551615,2,0]", "[0,0]") + "}", 0), "larger than any memory"));
  CHECK(refused(file_of("{" + tensor("a", "F32", "[4611686018427387904]", "[0,0]") + "}", 0), "larger than any memory"));
  CHECK(refused(file_of("{" + tensor("a", "F4", "[3]", "[0,1]") + "}", 1), "end on a byte"));
  CHECK(refused(file_of("{" + tensor("a", "F32", "[2]", "[0,7]") + "}", 7), "don't fit"));
  CHECK(refused(file_of("{" + tensor("a", "F32", "[2]", "[0,9]") + "}", 9), "don't fit"));
  CHECK(refused(file_of("{" + tensor("a", "F32", "[2]", "[8,0]") + "}", 8), "don't fit"));
  // Tensors against each other and the file.
  CHECK(refused(file_of("{" + tensor("a", "F32", "[2]", "[1,9]") + "}", 9), "does not begin where"));
  CHECK(refused(file_of("{" + one + "," + tensor("b", "F32", "[2]", "[9,17]") + "}", 17), "does not begin where"));
  CHECK(refused(file_of("{" + one + "," + tensor("b", "F32", "[2]", "[7,15]") + "}", 15), "does not begin where"));
  CHECK(refused(file_of("{" + one + "}", 7), "past the end"));
  CHECK(refused(file_of("{" + one + "}", 9), "8 bytes of tensors wanted, 9 there"));
  CHECK(refused(file_of("{" + tensor("a", "F32", "[4000000000000000]", "[0,16000000000000000]") + "}", 8), "past the end"));
}

TEST_CASE("a header of more values than any model has is refused while it is read") {
  std::string shape = "[1";
  for (std::size_t i = 0; i < safetensors_value_limit; ++i) shape += ",1";

  CHECK(refused(file_of("{" + tensor("a", "U8", shape + "]", "[0,1]") + "}", 1), "values wanted in the header"));
}

TEST_CASE("a file cut short at any byte is refused") {
  const std::string file = file_of("{" + tensor("a", "F32", "[2]", "[0,8]") + "}", 8);
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK(refusal(file.substr(0, size)) != "");
  }
}

TEST_CASE("a file with any one bit turned is read or refused, and nothing else") {
  const std::string file = file_of("{" + tensor("a", "F32", "[2]", "[0,8]") + "," + tensor("b", "I8", "[3]", "[8,11]") + "}", 11);
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    CAPTURE(bit);
    std::string turned = file;
    turned[bit / 8] = static_cast<char>(turned[bit / 8] ^ 1 << bit % 8);
    refusal(turned);
  }
}

TEST_CASE("a mapped file is the file's bytes, and what is no file is an error") {
  const tests::TemporaryFolder folder;
  const std::string path = (folder / "file").string();
  std::ofstream(path) << std::string(10000, 'x') << "end";
  std::ofstream((folder / "empty").string());
  CHECK(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  const auto code = [](const std::string& name) {
    try {
      MappedFile(name, "T");
      return rag::Errc::cancelled;
    } catch (const rag::Error& error) {
      CHECK(std::string(error.what()).starts_with("T: " + name));
      return error.code();
    }
  };

  MappedFile file(path, "T");
  CHECK(file.bytes().size() == 10003);
  file.release(file.bytes());
  MappedFile moved(std::move(file));
  CHECK(moved.bytes().ends_with("xend"));
  file = std::move(moved);
  CHECK(file.bytes().ends_with("xend"));
  CHECK(moved.bytes().empty());
  CHECK(MappedFile((folder / "empty").string(), "T").bytes().empty());
  CHECK(code((folder / "none").string()) == rag::Errc::not_found);
  CHECK(code(path + "/none") == rag::Errc::not_found);
  CHECK(code(folder.path().string()) == rag::Errc::io);
  CHECK(code((folder / "pipe").string()) == rag::Errc::io);
}
