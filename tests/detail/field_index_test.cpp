// SPDX-License-Identifier: MIT
#include <rag/detail/field_indexes.hpp>

#include <rag/store/filter.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using rag::detail::Bitmap;
using rag::detail::FieldIndexes;

struct Random {
  std::mt19937 engine;
  explicit Random(unsigned seed) : engine(seed) {}
  std::size_t below(std::size_t n) { return engine() % n; }

  rag::MetaValue value(std::size_t kinds) {
    static const double numbers[] = {0, -0.0, 1, -1, 2.5, 1e300, 5e-324, std::numeric_limits<double>::quiet_NaN(),
                                     std::numeric_limits<double>::infinity()};
    static const std::string texts[] = {"", "a", "ab", "abc", "b", "ä", "äö", "äöü", "\xFF", std::string("a\0b", 3),
                                        "日", "日本", "1", "0"};
    switch (below(kinds)) {
      case 0: return numbers[below(std::size(numbers))];
      case 1: return texts[below(std::size(texts))];
      case 2: return below(2) == 0;
      default: return static_cast<double>(below(1000));
    }
  }
  std::string name() { return std::string(1, static_cast<char>('a' + below(4))); }
  rag::Chunk chunk() {
    rag::Chunk made{"t", value(2).string(), 0, 1};
    for (std::size_t i = below(5); i > 0; --i) made.metadata.set(name(), value(4));
    return made;
  }
  rag::Filter leaf() {
    const auto ask = [&](const auto& field) -> rag::Filter {
      const rag::MetaValue one = value(4);
      switch (below(8)) {
        case 0: return field(one, 0);
        case 1: return field(one, 1);
        case 2: return field(one, 2);
        case 3: return field(one, 3);
        case 4: return field(one, 4);
        case 5: return field(one, 5);
        case 6: return field(one, 6);
        default: return field(one, 7);
      }
    };
    const bool of_source = below(4) == 0;
    const std::string field_name = of_source ? "" : name();
    return ask([&](const rag::MetaValue& one, int which) {
      using Operation = rag::FilterOperation;
      static const Operation operations[] = {Operation::equal, Operation::less,   Operation::at_most,     Operation::greater,
                                             Operation::at_least, Operation::in, Operation::starts_with, Operation::exists};
      const Operation operation = operations[which];
      std::vector<rag::MetaValue> values;
      if (operation == Operation::in)
        for (std::size_t i = below(5); i > 0; --i) values.push_back(value(4));
      else if (operation == Operation::starts_with)
        values.push_back(one.is_string() ? one : rag::MetaValue("ä"));
      else if (operation != Operation::exists)
        values.push_back(one);
      return rag::Filter(operation, of_source, field_name, std::move(values));
    });
  }
  rag::Filter filter(int depth = 0) {
    switch (below(depth > 4 ? 1 : 6)) {
      case 1: return filter(depth + 1) && filter(depth + 1);
      case 2: return filter(depth + 1) || filter(depth + 1);
      case 3: return !filter(depth + 1);
      default: return below(40) == 0 ? rag::Filter() : leaf();
    }
  }
};

/// A store's slots and nothing else: an erased one is filled with the last.
struct Slots {
  std::vector<rag::Chunk> chunks;
  FieldIndexes indexes;

  void put(rag::Chunk chunk) {
    chunks.push_back(std::move(chunk));
    indexes.put(chunks.size() - 1, chunks.back());
  }
  void set(std::size_t slot, rag::Chunk chunk) {
    indexes.take_out(slot);
    chunks[slot] = std::move(chunk);
    indexes.put(slot, chunks[slot]);
  }
  void erase(std::size_t slot) {
    const std::size_t last = chunks.size() - 1;
    indexes.take_out(slot);
    if (slot != last) {
      chunks[slot] = std::move(chunks[last]);
      indexes.move(last, slot);
    }
    chunks.pop_back();
  }
  Bitmap select(const rag::Filter& filter) const {
    return indexes.select(filter, chunks.size(), [&](std::size_t slot) { return &chunks[slot]; });
  }
  Bitmap wanted(const rag::Filter& filter) const {
    Bitmap kept(chunks.size());
    for (std::size_t slot = 0; slot < chunks.size(); ++slot)
      if (matches(filter, chunks[slot])) kept.set(slot);
    return kept;
  }
};

}  // namespace

TEST_CASE("the indexes keep what the filter keeps, on 100,000 random filters and stores") {
  Random random(1);
  std::size_t pairs = 0, kept = 0;
  for (int store = 0; store < 100; ++store) {
    CAPTURE(store);
    Slots slots;
    const std::size_t most = store % 10 == 0 ? 200 : 40;
    for (int step = 0; step < 100; ++step) {
      CAPTURE(step);
      for (std::size_t changes = random.below(5); changes > 0; --changes) {
        const std::size_t size = slots.chunks.size();
        switch (random.below(size > most ? 2 : 5)) {
          case 0:
            if (size > 0) slots.erase(random.below(size));
            break;
          case 1:
            if (size > 0) slots.set(random.below(size), random.chunk());
            break;
          default: slots.put(random.chunk());
        }
      }
      for (int i = 0; i < 10; ++i, ++pairs) {
        const rag::Filter filter = random.filter();
        const Bitmap selected = slots.select(filter);
        REQUIRE(selected == slots.wanted(filter));
        kept += selected.count();
      }
    }
  }
  CHECK(pairs == 100000);
  CHECK(kept > 100000);
}

TEST_CASE("a field of many values is selected by lists and by a walk, before and after changes") {
  Random random(2);
  Slots slots;
  for (int i = 0; i < 3000; ++i) slots.put({"t", "s" + std::to_string(i % 100), 0, 1, {{"n", i % 700}, {"t", std::to_string(i)}}});
  for (int step = 0; step < 60; ++step) {
    CAPTURE(step);
    for (const rag::Filter& filter :
         {rag::field("n") < 5, rag::field("n") >= 10, rag::field("n").in({1, 2, 900}), rag::field("t").starts_with("12"),
          rag::field("t").starts_with(""), rag::source().starts_with("s1"), rag::field("t") <= "2", rag::field("n").exists()})
      REQUIRE(slots.select(filter) == slots.wanted(filter));
    for (int i = 0; i < (step % 2 ? 5 : 60); ++i) {
      slots.erase(random.below(slots.chunks.size()));
      slots.put({"t", "s", 0, 1, {{"n", (i % 2 == 0 ? -1 : 1) * (1000 * step + i)}, {"t", std::to_string(step)}}});
    }
  }
}

TEST_CASE("more fields than are indexed are asked of each chunk") {
  Slots slots;
  for (int i = 0; i < 10; ++i) slots.put({"t", "s", 0, 1, {{"f" + std::to_string(i * 20), i}}});
  for (int i = 0; i < 200; ++i) {
    const rag::Filter filter = rag::field("f" + std::to_string(i)).exists();
    REQUIRE(slots.select(filter) == slots.wanted(filter));
  }
  CHECK(slots.select(rag::source() == "s").count() == 10);
}

TEST_CASE("a copy of the indexes begins anew, and a moved one goes on") {
  Slots slots;
  slots.put({"t", "s", 0, 1, {{"a", 1}}});
  CHECK(slots.select(rag::field("a") == 1).count() == 1);
  Slots copy = slots;
  copy.set(0, {"t", "s", 0, 1, {{"a", 2}}});
  CHECK(copy.select(rag::field("a") == 1).count() == 0);
  Slots moved = std::move(copy);
  CHECK(moved.select(rag::field("a") == 2).count() == 1);
  CHECK(slots.select(rag::field("a") == 1).count() == 1);
  slots = moved;
  CHECK(slots.select(rag::field("a") == 1).count() == 0);
}

TEST_CASE("an index that is worn by values come and gone is made anew") {
  Slots slots;
  for (int i = 0; i < 10; ++i) slots.put({"t", "s", 0, 1, {{"a", i}}});
  for (int i = 0; i < 1000; ++i) {
    const rag::Filter filter = rag::field("a") >= i + 5;
    REQUIRE(slots.select(filter) == slots.wanted(filter));
    slots.set(static_cast<std::size_t>(i % 10), {"t", "s", 0, 1, {{"a", i + 10}}});
  }
}

TEST_CASE("several threads may be the first to ask") {
  Slots slots;
  Random random(3);
  for (int i = 0; i < 500; ++i) slots.put(random.chunk());
  std::vector<rag::Filter> filters;
  for (int i = 0; i < 100; ++i) filters.push_back(random.filter());
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < filters.size(); ++i) {
        const rag::Filter& filter = filters[(i + 25 * t) % filters.size()];
        wrong[t] += slots.select(filter) != slots.wanted(filter);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
}
