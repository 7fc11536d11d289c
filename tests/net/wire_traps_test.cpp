// SPDX-License-Identifier: MIT
// The traps of the wire of OpenAI-compatible services, and the tests that hold each.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace {

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("Every trap of the wire has its test") {
  struct Trap {
    const char* what;
    std::vector<std::pair<const char*, const char*>> tests;  // file, name
  };
  const char *wire = "net/wire_test.cpp", *llm = "llm/openai_test.cpp", *streams = "llm/openai_stream_test.cpp", *sse = "net/sse_test.cpp", *embed = "embed/openai_test.cpp",
             *retry = "net/retry_test.cpp", *https = "net/https_test.cpp";
  const char* cut = "A stream over a socket gives the same answer wherever it is cut, with any line ends";
  const char* events = "A stream gives its events, wherever it is cut in two or in three";
  const char* forms = "An answer is read in all the forms that services give it";
  const Trap traps[] = {
      {"1 an event split at every byte", {{wire, cut}, {wire, "A stream that comes byte by byte gives the same answer, in chunks or until the end of the connection"}, {streams, "A recorded stream gives the same answer wherever it is cut"}}},
      {"2 a character of several bytes, cut", {{wire, cut}, {sse, events}}},
      {"3 CR LF, a lone CR, a cut between", {{wire, cut}, {sse, events}}},
      {"4 data: without a space", {{wire, cut}, {sse, events}}},
      {"5 data of several lines", {{wire, cut}, {sse, events}}},
      {"6 comments", {{wire, cut}, {sse, events}, {https, "Bytes that keep coming, a stream's comments too, hold the idle timeout off"}}},
      {"7 event: and id: lines", {{wire, cut}, {sse, events}}},
      {"8 [DONE] missing", {{wire, "A stream over a socket that ends at any byte is the whole answer or a transport error with the text so far"}, {streams, "A stream that ends before its end mark and its reason is an error at every byte"}}},
      {"9 usage with choices: []", {{wire, cut}, {streams, "A recorded stream gives the same answer wherever it is cut"}}},
      {"10 usage: null", {{wire, cut}, {llm, "Reasoning, usage and the reason of the end stand beside the text"}}},
      {"11 a delta without content, null, role only", {{wire, cut}, {llm, forms}}},
      {"12 an error in the middle of a stream", {{streams, "An error in the middle of a stream is an error, after the text so far was handed out"}, {streams, "A stream that fails keeps what came before: text, reasoning, usage"}}},
      {"13 200 and an error in JSON for a stream", {{wire, "A service's error comes through a socket in each of its forms, streamed or not"}, {llm, "An error inside a 200 answer is an error, its code a number or text, streamed or not"}}},
      {"14 blank lines before the answer", {{wire, "A service's error comes through a socket in each of its forms, streamed or not"}, {llm, forms}}},
      {"15 retry-after in all its forms", {{wire, "Statuses that pass are asked again over a socket, after the time that the service names; others are not"}, {retry, "The answer says when to ask again"}, {retry, "One that asks for more than two minutes is given back"}, {llm, "An error of the service has its status, its words and the time it asks for, and says so"}}},
      {"16 400, 401, 402, 422 are not asked again", {{wire, "Statuses that pass are asked again over a socket, after the time that the service names; others are not"}, {retry, "Statuses that pass are asked again, others are given at once"}}},
      {"17 503 twice, then 200", {{wire, "Statuses that pass are asked again over a socket, after the time that the service names; others are not"}, {retry, "503 twice, then 200: the waits double up to eight seconds, less a quarter by chance"}}},
      {"18 refused, reset, stalled", {{wire, "A connection that is refused, reset or silent is tried again; a stream that has begun is not"}, {https, "A silent server meets the idle timeout before the deadline"}}},
      {"19 an HTML 502", {{wire, "A service's error comes through a socket in each of its forms, streamed or not"}, {llm, "A status becomes a code, and the service's words come in every shape"}}},
      {"20 a flat error", {{wire, "A service's error comes through a socket in each of its forms, streamed or not"}, {llm, "A status becomes a code, and the service's words come in every shape"}}},
      {"21 an error's code as text or number", {{llm, "An error inside a 200 answer is an error, its code a number or text, streamed or not"}}},
      {"22 embeddings out of order, missing, short, twice, base64, null", {{embed, "OpenAiEmbedder sends model and texts with the key, and places the vectors by index"}, {embed, "An answer that does not give each text one sound vector is refused"}, {embed, "A vector of another dimension is refused, with both numbers"}, {embed, "Lists of numbers and base64 of little-endian floats are told apart by their type"}}},
      {"23 2048 texts, 300,000 tokens a batch", {{embed, "A batch has at most 2048 texts and 300,000 bytes, so that no limit in tokens is met"}, {embed, "A batch that the service finds too large is sent in halves"}}},
      {"24 rerank in three shapes, an index out of range", {{"retrieve/service_reranker_test.cpp", "All three shapes of an answer are read, sorted or not; ties keep the order given"}, {"retrieve/service_reranker_test.cpp", "An answer that does not give each text one finite score is refused"}}},
      {"25 a base URL with and without slash and /v1", {{llm, "A base URL may end in a slash or be the whole address, and has /v1 where it has no path"}}},
      {"26 no key in logs or errors", {{wire, "A service that echoes the key finds it in no error, trace or tape of ours"}, {llm, "The key is in no error, even where the service echoes it"}, {"net/tape_test.cpp", "No key is on a tape, wherever a service echoes it"}, {"net/trace_test.cpp", "An exchange is told without its secrets"}}},
      {"27 cancelled from the callback", {{wire, "A callback that has enough ends the connection, so that the service may stop"}, {streams, "A receiver that has enough ends the stream and keeps the text so far"}}},
      {"28 a redirect must not take the key along", {{wire, "The key stays with its origin: no redirect, proxy or plain http gets it"}, {https, "A redirect is not followed, and only the other origin is named"}}},
      {"29 a gzip body", {{wire, "A compressed answer is refused, and none was asked for"}}},
      {"30 reasoning never in the answer", {{wire, cut}, {llm, "Reasoning, usage and the reason of the end stand beside the text"}, {"llm/openai_options_test.cpp", "Calls and their answers are sent back, and reasoning has no place to be"}}},
      {"31 half of a surrogate pair", {{wire, "A character whose halves come as two escapes in two events does not spoil the answer"}, {llm, forms}}},
      {"32 a document that is not UTF-8", {{wire, "A text that is not UTF-8 reaches no socket"}, {llm, "No messages, or a message that is not UTF-8, are refused before anything is sent"}, {embed, "A text that is not UTF-8 is named, and nothing is sent"}}},
  };
  CHECK(std::size(traps) == 32);
  for (const Trap& trap : traps)
    for (const auto& test : trap.tests) {
      CAPTURE(trap.what);
      CAPTURE(test.second);
      const std::string source = file_text(std::string(RAG_SOURCE_DIR) + "/tests/" + test.first);
      CHECK(source.find("TEST_CASE(\"" + std::string(test.second) + "\")") != source.npos);
    }
}
