// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_TORTURE_FAULTS_HPP
#define RAG_TESTS_STORE_TORTURE_FAULTS_HPP
#include "verdict.hpp"

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace rig {

/// One run of a scenario in which the n-th operation that the kind can hit fails.
struct FaultRun {
  const ScenarioOf<>& scenario;
  std::size_t n;
  fault::Kind kind;
  bool for_ever;

  std::string where() const {
    return std::string(scenario.name) + ", operation " + std::to_string(n) + ", " +
           fault::kind_names[static_cast<std::size_t>(kind)] + (for_ever ? " for ever" : " once");
  }
};

class FaultLoop {
 public:
  /// `samples`: images of a power loss at each cut of a run in which a sync lied.
  explicit FaultLoop(Tally& tally, std::uint64_t samples = 1) : tally_(tally), samples_(samples) {}

  /// Every operation, or one of so many.
  void all(std::size_t every) {
    for (const ScenarioOf<>& scenario : scenarios())
      for (std::size_t kind = 0; kind < fault::kinds; ++kind)
        for (const bool for_ever : {false, true})
          for (std::size_t n = 0; one({scenario, n, static_cast<fault::Kind>(kind), for_ever}); n += every) {
          }
  }

  /// False: the scenario ended before the fault.
  bool one(const FaultRun& run) {
    fault::FaultDisk disk;
    put_base(disk, run.scenario);
    ++tally_.tried;
    try {
      attempt(run, disk);
      return disk.hit();
    } catch (const Violation& violation) {
      tally_.fault(run.where(), violation.what);
    }
    return true;
  }

 private:
  void attempt(const FaultRun& run, fault::FaultDisk& disk) {
    model_ = base_of(run.scenario).contents;
    possible_ = {model_};
    history_ = {{0, possible_}};
    disk.fail_at(run.n, run.kind, run.for_ever);
    {
      SessionOf<> session{run.scenario.options};
      for (const StepOf<>& step : run.scenario.steps) {
        go(step, session, disk);
        history_.push_back({disk.changes().size(), possible_});
      }
      try {
        session.close();
      } catch (const rag::Error&) {
      }
    }
    disk.heal();
    after_power_loss(run, disk);
    disk.use();
    disk.restart();
    Examination<>(disk, possible_).full();
  }

  /// What the process sees is what was acknowledged, whether the last call failed or not. What a call that
  /// failed was to change may be on the disk, and is seen when the file is opened again.
  void go(const StepOf<>& step, SessionOf<>& session, fault::FaultDisk& disk) {
    const std::size_t openings = session.openings;
    const bool done = attempt(step, session);
    require(done || disk.hit(), std::string(step.name) + " failed without a fault: " + error_);
    if (!session.database) return;
    std::vector<Contents> seen = session.openings != openings ? possible_ : std::vector{model_};
    if (done)
      for (Contents& state : seen) step.change(state);
    const fault::FaultDisk::Pause pause(disk);
    const std::string when = std::string("in the process after ") + step.name + (done ? "" : " failed");
    must(when, [&] { model_ = contents_of(*session.database); });
    require_one_of(model_, seen, when);
    if ((done && step.writes) || session.openings != openings) possible_.clear();
    possible_.push_back(model_);
    if (done) return;
    possible_.push_back(model_);
    step.change(possible_.back());
  }

  bool attempt(const StepOf<>& step, SessionOf<>& session) {
    try {
      step.run(session);
      return true;
    } catch (const rag::Error& error) {
      require(std::string(error.what()).size() > 8, "an error without words");
      error_ = error.what();
      return false;
    } catch (const std::exception& error) {
      throw Violation{std::string(step.name) + " threw no rag::Error: " + error.what()};
    }
  }

  /// The power fails too: some of what may be there then, at the end, and after a sync that lied at every
  /// cut. Batches that were to be synced later are not promised.
  void after_power_loss(const FaultRun& run, const fault::FaultDisk& disk) {
    if (run.scenario.options.durability == rag::Durability::batched) return;
    fault::PowerLoss loss(disk);
    fault::FaultDisk image;
    const bool lied = run.kind == fault::Kind::sync_eio_then_ok;
    for (std::size_t at = 0;;) {
      while (at + 1 < history_.size() && history_[at + 1].first <= loss.cut()) ++at;
      const std::uint64_t samples = loss.cut() == disk.changes().size() ? 3 : lied ? samples_ : 0;
      for (std::uint64_t i = 0; i < samples; ++i) {
        fault::Dice dice(run.n * 31 + i + loss.cut() * 1009);
        loss.make(dice, image);
        image.use();
        ++tally_.further;
        try {
          const std::vector<Contents> allowed = allowed_at(at);
          Examination<>(image, allowed).look();
        } catch (const Violation& violation) {
          throw Violation{"and a power loss at " + std::to_string(loss.cut()) + ": " + violation.what};
        }
        image.restart();
      }
      if (!loss.advance()) return;
    }
  }

  /// At a cut between the ends of two steps: what the disk may hold after the one and after the other.
  std::vector<Contents> allowed_at(std::size_t step) const {
    std::vector<Contents> allowed = history_[step].second;
    if (step + 1 < history_.size())
      allowed.insert(allowed.end(), history_[step + 1].second.begin(), history_[step + 1].second.end());
    return allowed;
  }

  Tally& tally_;
  std::uint64_t samples_;
  std::string error_ = {};
  Contents model_ = {};                  // what the process sees
  std::vector<Contents> possible_ = {};  // what the disk may hold
  std::vector<std::pair<std::size_t, std::vector<Contents>>> history_ =
      {};  // the same, after so many changes
};

}  // namespace rig

#endif
