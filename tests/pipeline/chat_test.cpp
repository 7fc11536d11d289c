// SPDX-License-Identifier: MIT
#include "llm/scripted.hpp"

#include <rag/chat.hpp>
#include <rag/chunk/separator.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/store/filter.hpp>

#include <doctest/doctest.h>

#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Messages = std::vector<rag::Message>;
using Strings = std::vector<std::string>;
using toys::ScriptedLlm;

/// Finds the same two passages for everything, and keeps what it was asked.
struct Recorder {
  Strings asked = {};
  std::size_t k = 0;

  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks) { return std::vector<rag::Id>(chunks.size(), 0); }
  std::vector<rag::Hit> search(std::string_view question, std::size_t wanted) {
    asked.emplace_back(question);
    k = wanted;
    return {{{"In etcd.", "a.md", 0, 8, {}, 0}, 2}, {{"In MinIO.", "b.md", 0, 9, {}, 1}, 1}};
  }
  template <class F>  // takes anything for a filter
  std::vector<rag::Hit> search(std::string_view question, std::size_t wanted, const F&) {
    return search(question, wanted);
  }
};

auto pipeline_of(Strings answers, rag::QaOptions options = {}) {
  return rag::Pipeline{rag::SeparatorChunker{"\n"}, Recorder{}, ScriptedLlm{std::move(answers)},
                       rag::QaPrompter{std::move(options)}};
}

std::size_t tokens(const Messages& messages) {
  std::size_t sum = 0;
  for (const rag::Message& message : messages) sum += rag::estimate_tokens(message.content);
  return sum;
}

/// The messages between the system's and the last.
Messages history_of(const Messages& sent) { return {sent.begin() + 1, sent.end() - 1}; }

/// What stands between two texts; the test fails where they are not there.
std::string between(const std::string& text, const std::string& before, const std::string& after) {
  REQUIRE((text.starts_with(before) && text.ends_with(after) && text.size() >= before.size() + after.size()));
  return text.substr(before.size(), text.size() - before.size() - after.size());
}

/// Reads the user's message of a condensing prompt: question and answer in turn, then the question.
Strings parse_condense(const std::string& user) {
  Strings texts;
  std::string rest = between(user, "<history>\n", "\n</question>");
  const auto take = [&](const std::string& stop) {
    const std::size_t end = rest.find(stop);
    REQUIRE(end != std::string::npos);
    const std::string text = rest.substr(0, end);
    CHECK(text.find('<') == std::string::npos);
    texts.push_back(rag::detail::unescaped(text));
    rest.erase(0, end + stop.size());
  };
  while (rest.starts_with("<user>\n")) {
    rest.erase(0, 7);
    take("\n</user>\n<assistant>\n");
    take("\n</assistant>\n");
  }
  rest = between(rest, "</history>\n<question>\n", "");
  CHECK(rest.find('<') == std::string::npos);
  texts.push_back(rag::detail::unescaped(rest));
  return texts;
}

}  // namespace

TEST_CASE("The first question of a chat is asked as in the pipeline, with one call of the model") {
  auto pipeline = pipeline_of({"In etcd [1]."});
  rag::Chat chat{pipeline};

  const rag::Answer answer = chat.ask("Where is data?");

  REQUIRE(pipeline.llm().sent.size() == 1);
  CHECK(pipeline.llm().sent[0] == pipeline.prompt("Where is data?"));
  CHECK(answer.text == "In etcd [1].");
  CHECK(answer.cited == std::vector<std::size_t>{1});
  CHECK(answer.sources.size() == 2);
  CHECK(answer.usage == rag::Usage{100, 10});
  CHECK(chat.question() == "Where is data?");
  CHECK(chat.history() == Messages{{"user", "Where is data?"}, {"assistant", "In etcd [1]."}});
}

TEST_CASE(
    "A question that follows is condensed, searched for, and answered with the history before it: these "
    "bytes") {
  auto pipeline = pipeline_of({"In etcd [1], if x < 2 [2].", "1. \"How is etcd backed up?\"", "By a copy [2][7]."});
  rag::Chat chat{pipeline};
  chat.ask("Where is A & B?");

  const rag::Answer answer = chat.ask("How do I back <it> up?");

  REQUIRE(pipeline.llm().sent.size() == 3);
  CHECK(pipeline.llm().sent[1] == Messages{{"system", std::string(rag::condense_system)},
                                           {"user",
                                            "<history>\n"
                                            "<user>\nWhere is A &amp; B?\n</user>\n"
                                            "<assistant>\nIn etcd, if x &lt; 2.\n</assistant>\n"
                                            "</history>\n"
                                            "<question>\nHow do I back &lt;it> up?\n</question>"}});
  CHECK(pipeline.llm().sent[2] == Messages{{"system", std::string(rag::qa_system)},
                                           {"user", "Where is A & B?"},
                                           {"assistant", "In etcd, if x < 2."},
                                           {"user",
                                            "<context>\n"
                                            "<snippet id=\"1\" source=\"a.md\">\nIn etcd.\n</snippet>\n"
                                            "<snippet id=\"2\" source=\"b.md\">\nIn MinIO.\n</snippet>\n"
                                            "</context>\n"
                                            "<question>\nHow do I back &lt;it> up?\n</question>"}});
  CHECK(chat.question() == "How is etcd backed up?");
  CHECK(pipeline.retriever().asked.back() == "How is etcd backed up?");
  CHECK(pipeline.retriever().k == 3);
  CHECK(answer.cited == std::vector<std::size_t>{2});
  CHECK(answer.unknown == std::vector<std::size_t>{7});
  CHECK(answer.usage == rag::Usage{200, 20});
  CHECK(chat.history().size() == 4);
  CHECK(chat.history()[1].content == "In etcd [1], if x < 2 [2].");  // as it was
}

TEST_CASE("Both prompts can be seen before they are sent") {
  auto pipeline = pipeline_of({"In etcd.", "How is etcd backed up?"});
  rag::Chat chat{pipeline, {.k = 1, .condense_system = "Make one of them."}};
  CHECK(chat.condense_prompt("Where is data?").empty());
  chat.ask("Where is data?");

  const Messages condense = chat.condense_prompt("And then?");
  const Messages whole = chat.prompt("And then?");

  CHECK(pipeline.llm().sent.back() == condense);
  CHECK(condense[0].content == "Make one of them.");
  CHECK(pipeline.retriever().k == 1);
  CHECK(chat.history().size() == 2);
  chat.ask("And then?");
  CHECK(pipeline.llm().sent.back() == whole);
  rag::Chat bare{pipeline, {.condense_system = ""}};
  bare.restore(chat.history());
  CHECK(bare.condense_prompt("?").size() == 1);
}

TEST_CASE("An answer that can't be used leaves the question, and a model that only quotes is not asked") {
  for (const std::string condensed : {"", "?", "<think>So…", "```\n```", "Here it is:"}) {
    CAPTURE(condensed);
    auto pipeline = pipeline_of({"In etcd.", condensed, "x"});
    rag::Chat chat{pipeline};
    chat.ask("Where is data?");
    chat.ask("And then?");
    CHECK(chat.question() == "And then?");
    CHECK(pipeline.llm().sent.size() == 3);
  }
  auto pipeline = pipeline_of({"In etcd."});
  rag::Chat chat{pipeline, {.condense = false}};
  chat.ask("Where is data?");
  chat.ask("And then?");
  CHECK(pipeline.llm().sent.size() == 2);
  CHECK(history_of(pipeline.llm().sent[1]).size() == 2);

  rag::Pipeline extractive{rag::SeparatorChunker{"\n"}, rag::Bm25{}, rag::ExtractiveLlm{}};
  extractive.add({"a.md", "The harbour opens at eight.\nThe museum opens at nine."});
  rag::Chat offline{extractive};
  CHECK(offline.ask("When does the harbour open?").text.starts_with("The harbour opens at eight. [1]"));
  CHECK(offline.ask("And the museum?").text.starts_with("The museum opens at nine. [1]"));
  CHECK(offline.question() == "And the museum?");
  CHECK(offline.condense_prompt("And the museum?").empty());
  CHECK(offline.history().size() == 4);
}

TEST_CASE(
    "An answer is streamed; one that is stopped is in the history as far as it was seen, one that failed is "
    "not") {
  rag::Pipeline pipeline{rag::SeparatorChunker{"\n"}, rag::Bm25{}, rag::ExtractiveLlm{}};
  pipeline.add({"a.md", "The harbour opens at eight.\nThe harbour closes at nine."});
  rag::Chat chat{pipeline};
  std::string text, searched;

  const rag::Answer whole = chat.ask("harbour opens closes", [&](std::string_view piece) {
    text += piece;
    searched = chat.question();
  });
  CHECK(text == whole.text);
  CHECK(searched == "harbour opens closes");
  CHECK(chat.history().back().content == text);

  const rag::Answer stopped = chat.ask("harbour opens closes", [](std::string_view) { return false; });
  CHECK(stopped.finish_reason == "cancelled");
  CHECK(stopped.text.size() < whole.text.size());
  CHECK(chat.history().size() == 4);
  CHECK(chat.history().back().content == stopped.text);

  const Messages before = chat.history();
  CHECK_THROWS_AS(chat.ask("harbour", [](std::string_view) { throw std::runtime_error("gone"); }), std::runtime_error);
  CHECK(chat.history() == before);

  auto greedy = pipeline_of({"In etcd."});  // a sink is no filter, though this retriever takes anything for one
  text.clear();
  rag::Chat{greedy}.ask("Where?", [&](std::string_view piece) { text += piece; });
  CHECK(text == "In etcd.");
}

TEST_CASE("The snippets are as many as the prompter has room for") {
  const std::size_t room = tokens(rag::QaPrompter{}.prompt("Where?", Recorder{}.search("", 2))) - 1;
  auto pipeline = pipeline_of({"In etcd [2]."}, {.max_tokens = room});
  rag::Chat chat{pipeline};

  const rag::Answer answer = chat.ask("Where?");

  CHECK(answer.sources.size() == 1);
  CHECK(answer.unknown == std::vector<std::size_t>{2});
  CHECK(tokens(pipeline.llm().sent[0]) <= room);
}

TEST_CASE("An Error of the model, in either call, leaves the history as it was") {
  auto pipeline = pipeline_of({"In etcd.", "!", "How is it backed up?", "!", "Done."});
  rag::Chat chat{pipeline};
  chat.ask("Where is data?");
  const Messages before = chat.history();

  CHECK_THROWS_WITH_AS(chat.ask("And then?"), "ScriptedLlm: come back later", rag::Error);
  CHECK(chat.history() == before);
  CHECK_THROWS_WITH_AS(chat.ask("And then?"), "ScriptedLlm: come back later", rag::Error);
  CHECK(chat.history() == before);
  CHECK(chat.ask("And then?").text == "Done.");
  CHECK(chat.history().size() == 4);
}

TEST_CASE("A filter reaches the search, with and without a sink") {
  rag::Pipeline pipeline{rag::SeparatorChunker{"\n"}, rag::Bm25{}, rag::ExtractiveLlm{}};
  pipeline.add({"a.md", "The harbour opens at eight."});
  pipeline.add({"b.md", "The harbour opens at ten."});
  rag::Chat chat{pipeline};
  const rag::Filter filter = rag::source() == "b.md";

  CHECK(chat.ask("When does the harbour open?").sources.size() == 2);
  CHECK(chat.ask("When does the harbour open?", filter).text == "The harbour opens at ten. [1]");
  std::string text;
  CHECK(chat.ask(
                "When does the harbour open?", [&](std::string_view piece) { text += piece; }, filter)
            .sources.size() == 1);
  CHECK(text == "The harbour opens at ten. [1]");
  CHECK(chat.prompt("When?", filter).size() == 8);
}

TEST_CASE("A history is read, cleared and restored, and one that is none is refused") {
  auto pipeline = pipeline_of({"In etcd."});
  rag::Chat chat{pipeline};
  chat.ask("Where is data?");
  rag::Chat other{pipeline};

  other.restore(chat.history());
  CHECK(other.history() == chat.history());
  CHECK(other.condense_prompt("?") == chat.condense_prompt("?"));
  other.clear();
  CHECK(other.history().empty());
  CHECK(other.question().empty());
  CHECK(other.condense_prompt("?").empty());

  chat.ask(chat.question());  // views of its own texts are safe
  chat.ask(chat.history()[0].content);
  CHECK(chat.history()[4].content == "Where is data?");

  const Messages before = chat.history();
  CHECK_THROWS_WITH_AS(chat.restore({{"user", "a"}}), "Chat::restore: message 1: role 'assistant' wanted, none given",
                       rag::Error);
  CHECK_THROWS_WITH_AS(chat.restore({{"system", "a"}, {"user", "b"}}),
                       "Chat::restore: message 0: role 'user' wanted, 'system' given", rag::Error);
  CHECK_THROWS_WITH_AS(chat.restore({{"user", "a"}, {"assistant", "b"}, {"assistant", "c"}}),
                       "Chat::restore: message 2: role 'user' wanted, 'assistant' given", rag::Error);
  CHECK(chat.history() == before);
}

TEST_CASE("An earlier answer is sent without marks and thoughts, and a turn without a text not at all") {
  using rag::detail::plain_answer;
  CHECK(plain_answer("In etcd [1]. And [2][3] in S3 [1-3, 5].") == "In etcd. And in S3.");
  CHECK(plain_answer("[1] In `a[1]` and [x] [2]\nor") == "In `a[1]` and [x]\nor");
  CHECK(rag::detail::find_citations(plain_answer("nested [1[2]]")).empty());
  CHECK(plain_answer("<think>Hm [1]</think>\nYes [1].") == "Yes.");
  CHECK(plain_answer(" [1] ").empty());

  auto pipeline = pipeline_of({"Yes."});
  rag::Chat chat{pipeline, {.condense = false}};
  chat.restore({{"user", "a <s>?"},
                {"assistant", "b <|im_end|>"},
                {"user", "c?"},
                {"assistant", "[1]"},
                {"user", "\xE2\x80\x8B"},
                {"assistant", "d"}});
  chat.ask("e?");
  CHECK(history_of(pipeline.llm().sent[0]) == Messages{{"user", "a <\\s>?"}, {"assistant", "b <\\|im_end|>"}});

  const std::string tokens = "<s><s><s><s><s><s><s><s>";
  std::string sent;
  rag::detail::append_turn(sent, rag::detail::without_tokens(tokens), "b");
  CHECK(rag::detail::turn_tokens(tokens, "b") == rag::estimate_tokens(sent));
}

TEST_CASE("Turns are dropped whole from the oldest on, and the last answer alone is cut") {
  auto pipeline = pipeline_of({"Yes."});
  const Messages turns{
      {"user", "first?"}, {"assistant", "one"}, {"user", "second?"}, {"assistant", std::string(40, 'x')}};
  const std::size_t newer = rag::detail::turn_tokens(turns[2].content, turns[3].content);
  const std::size_t both = newer + rag::detail::turn_tokens(turns[0].content, turns[1].content);
  const auto sent = [&](std::size_t budget) { return rag::detail::recent_turns(turns, budget); };

  CHECK(sent(both) == turns);
  CHECK(sent(both - 1) == Messages{turns[2], turns[3]});
  CHECK(sent(newer) == Messages{turns[2], turns[3]});
  const Messages cut = sent(newer - 1);
  REQUIRE(cut.size() == 2);
  CHECK(cut[0] == turns[2]);
  CHECK(between(cut[1].content, "xxxxx", " …").find_first_not_of('x') == std::string::npos);
  CHECK(rag::detail::turn_tokens(cut[0].content, cut[1].content) <= newer - 1);
  CHECK(rag::detail::turn_tokens(cut[0].content, "xxxx" + cut[1].content) > newer - 1);  // one token more would not fit
  const std::size_t least = rag::detail::turn_tokens("second?", "x …");
  CHECK(sent(least).at(1).content.ends_with("x …"));
  CHECK(sent(least - 1).empty());  // not the older one in its place
  CHECK(sent(0).empty());

  rag::Chat chat{pipeline, {.history_tokens = 0}};
  chat.restore(turns);
  chat.ask("third?");
  CHECK(pipeline.llm().sent.size() == 1);  // without a history there is nothing to condense
  CHECK(pipeline.llm().sent[0].size() == 2);
}

TEST_CASE("No prompt is over its budget, the roles take turns, and no text leaves its block: 1,000 random chats") {
  std::mt19937 random(17);
  for (int i = 0; i < 1000; ++i) {
    CAPTURE(i);
    auto pipeline = pipeline_of({"?", "Yes."});
    const std::size_t budget = random() % 120;
    rag::Chat chat{pipeline, {.history_tokens = budget}};
    Messages history;
    for (auto turn = random() % 6; turn > 0; --turn) {
      history.push_back({"user", toys::hostile_text(random)});
      history.push_back({"assistant", toys::hostile_text(random, 30)});
    }
    chat.restore(history);
    const std::string question = toys::hostile_text(random);
    const Messages condense = chat.condense_prompt(question);

    chat.ask(question);

    const Messages& sent = pipeline.llm().sent.back();
    const Messages plain = pipeline.prompt(question), earlier = history_of(sent);
    CHECK(sent.front() == plain.front());
    CHECK(sent.back() == plain.back());
    CHECK(tokens(earlier) <= budget);
    CHECK(tokens(sent) <= 3000 + budget);
    for (std::size_t j = 0; j < earlier.size(); ++j) {
      CHECK(earlier[j].role == (j % 2 == 0 ? "user" : "assistant"));
      CHECK(!earlier[j].content.empty());
      CHECK(earlier[j].content == rag::detail::visible(earlier[j].content));
      if (j % 2 == 1) CHECK(rag::detail::find_citations(earlier[j].content).empty());
    }
    CHECK(earlier.size() % 2 == 0);
    CHECK(condense.empty() == earlier.empty());
    if (condense.empty()) continue;
    Strings wanted;
    for (const rag::Message& message : earlier) wanted.push_back(message.content);
    wanted.push_back(rag::detail::visible(question));
    CHECK(parse_condense(condense.at(1).content) == wanted);
    std::string without = "<history>\n</history>\n";
    rag::detail::append_question(without, question);
    CHECK(rag::estimate_tokens(condense[1].content) <= rag::estimate_tokens(without) + budget);
  }
}

TEST_CASE("The history goes before the last message of the user, whatever the prompter writes around it") {
  struct Framed {
    std::vector<rag::Message> prompt(std::string_view question, std::span<const rag::Hit>) const {
      return {{"system", "s"}, {"user", std::string(question)}, {"assistant", "Answer:"}};
    }
  };
  struct Strange {
    std::vector<rag::Message> prompt(std::string_view, std::span<const rag::Hit>) const { return {{"system", "s"}}; }
  };
  rag::Pipeline framed{rag::SeparatorChunker{"\n"}, Recorder{}, rag::EchoLlm{}, Framed{}};
  rag::Pipeline strange{rag::SeparatorChunker{"\n"}, Recorder{}, rag::EchoLlm{}, Strange{}};
  rag::Chat a{framed};
  rag::Chat b{strange};
  a.restore({{"user", "u"}, {"assistant", "v"}});
  b.restore({{"user", "u"}, {"assistant", "v"}});

  CHECK(a.prompt("q") ==
        Messages{{"system", "s"}, {"user", "u"}, {"assistant", "v"}, {"user", "q"}, {"assistant", "Answer:"}});
  CHECK(b.prompt("q") == Messages{{"system", "s"}, {"user", "u"}, {"assistant", "v"}});
}
