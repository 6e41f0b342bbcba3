// What torchrun and Slurm say in the environment, slices of a batch, packed texts.
#include <gtest/gtest.h>

#include <map>

#include "distributed/packed_texts.h"
#include "distributed/slurm.h"
#include "saferclip/core/error.h"
#include "saferclip/core/slices.h"
#include "saferclip/distributed/launch.h"
#include "support/message_of.h"

namespace saferclip {
namespace {

using Environment = std::map<std::string, std::string>;

std::optional<Launch> launch_of(const Environment& environment) {
  return read_launch([&](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    if (found == environment.end() || found->second.empty()) return std::nullopt;
    return found->second;
  });
}

std::string problem_of(const Environment& environment) {
  return message_of<ConfigError>([&] { launch_of(environment); });
}

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

const Environment kTorchrun{{"RANK", "5"},
                            {"WORLD_SIZE", "8"},
                            {"LOCAL_RANK", "1"},
                            {"LOCAL_WORLD_SIZE", "4"},
                            {"MASTER_ADDR", "node1"},
                            {"MASTER_PORT", "29500"}};

// What srun sets in task 5 of `srun -n 8 -N 2`, beside much else.
const Environment kSlurm{{"SLURM_JOB_ID", "4711"},
                         {"SLURM_STEP_ID", "0"},
                         {"SLURM_STEP_NUM_TASKS", "8"},
                         {"SLURM_NTASKS", "8"},
                         {"SLURM_PROCID", "5"},
                         {"SLURM_LOCALID", "1"},
                         {"SLURM_NODEID", "1"},
                         {"SLURM_STEP_TASKS_PER_NODE", "4(x2)"},
                         {"SLURM_STEP_NODELIST", "node[07-08]"},
                         {"SLURM_JOB_NODELIST", "node[06-08]"}};

TEST(Launch, NothingIsOneProcess) {
  EXPECT_FALSE(launch_of({}));
  EXPECT_FALSE(launch_of({{"MASTER_ADDR", "node1"}, {"MASTER_PORT", "1"}}));
  EXPECT_FALSE(launch_of({{"RANK", ""}, {"WORLD_SIZE", ""}}));
}

TEST(Launch, Torchrun) {
  const auto launch = launch_of(with(kTorchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                                 {"TORCHELASTIC_RESTART_COUNT", "3"},
                                                 {"TORCHELASTIC_RUN_ID", "mine"}}));
  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->launcher, Launcher::kTorchrun);
  EXPECT_EQ(launch->rank, 5);
  EXPECT_EQ(launch->size, 8);
  EXPECT_EQ(launch->local_rank, 1);
  EXPECT_EQ(launch->local_size, 4);
  EXPECT_EQ(launch->address, "node1");
  EXPECT_EQ(launch->port, 29500);
  EXPECT_TRUE(launch->store_is_served);
  EXPECT_EQ(launch->run_id, "mine");
  EXPECT_EQ(launch->restarts, 3);
}

TEST(Launch, ByHand) {
  Environment environment = kTorchrun;
  environment.erase("LOCAL_RANK");
  environment.erase("LOCAL_WORLD_SIZE");
  const auto launch = launch_of(environment);
  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->local_rank, 0);
  EXPECT_EQ(launch->local_size, 1);
  EXPECT_FALSE(launch->store_is_served);
  EXPECT_EQ(launch_of({{"RANK", "0"}, {"WORLD_SIZE", "1"}})->size, 1);
}

TEST(Launch, TorchrunInsideSlurmWins) {
  EXPECT_EQ(launch_of(with(kSlurm, kTorchrun))->launcher, Launcher::kTorchrun);
}

TEST(Launch, NamesAllThatIsWrong) {
  const std::string half = problem_of({{"RANK", "2"}, {"LOCAL_RANK", "0"}});
  for (const char* name :
       {"WORLD_SIZE is not set", "RANK is \"2\"", "LOCAL_WORLD_SIZE is not set"}) {
    EXPECT_NE(half.find(name), std::string::npos) << half;
  }
  const std::string wrong = problem_of(
      with(kTorchrun, {{"LOCAL_RANK", "4"}, {"MASTER_ADDR", ""}, {"MASTER_PORT", "70000"}}));
  for (const char* name :
       {"LOCAL_RANK is \"4\"; expected a whole number from 0 to 3", "MASTER_ADDR is not set",
        "MASTER_PORT is \"70000\"", "torchrun --no-python", "unset RANK"}) {
    EXPECT_NE(wrong.find(name), std::string::npos) << wrong;
  }
  EXPECT_NE(problem_of({{"WORLD_SIZE", "2"}}).find("WORLD_SIZE is set, but RANK is not"),
            std::string::npos);
  EXPECT_NE(problem_of(with(kTorchrun, {{"RANK", "8"}})).find("from 0 to 7"), std::string::npos);
  EXPECT_NE(problem_of(with(kTorchrun, {{"RANK", "1x"}})).find("RANK is \"1x\""),
            std::string::npos);
}

TEST(Launch, Slurm) {
  const auto launch = launch_of(kSlurm);
  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->launcher, Launcher::kSlurm);
  EXPECT_EQ(launch->rank, 5);
  EXPECT_EQ(launch->size, 8);
  EXPECT_EQ(launch->local_rank, 1);
  EXPECT_EQ(launch->local_size, 4);
  EXPECT_EQ(launch->address, "node07");
  EXPECT_EQ(launch->run_id, "4711.0");
  EXPECT_GE(launch->port, 20000);
  EXPECT_LT(launch->port, 32000);
  EXPECT_NE(launch->port, launch_of(with(kSlurm, {{"SLURM_STEP_ID", "1"}}))->port);
  const auto told = launch_of(with(kSlurm, {{"MASTER_ADDR", "ib7"}, {"MASTER_PORT", "1234"}}));
  EXPECT_EQ(told->address, "ib7");
  EXPECT_EQ(told->port, 1234);
}

TEST(Launch, SlurmWithoutSeveralTasksIsOneProcess) {
  EXPECT_FALSE(launch_of(with(kSlurm, {{"SLURM_STEP_NUM_TASKS", "1"}})));
  // A batch script of `sbatch -n 8`, also one that exports what its srun lines need.
  const Environment batch{{"SLURM_JOB_ID", "4711"}, {"SLURM_NTASKS", "8"},
                          {"SLURM_PROCID", "0"},    {"SLURM_LOCALID", "0"},
                          {"SLURM_NODEID", "0"},    {"SLURM_JOB_NODELIST", "node[07-08]"}};
  EXPECT_FALSE(launch_of(batch));
  EXPECT_FALSE(launch_of(with(batch, {{"WORLD_SIZE", "8"}, {"MASTER_ADDR", "node07"}})));
  // Slurm numbers the steps that it starts itself from the top.
  EXPECT_FALSE(launch_of(with(batch, {{"SLURM_STEP_ID", "4294967291"}})));
  EXPECT_FALSE(launch_of(with(batch, {{"SLURM_STEP_ID", "4294967290"}})));
  // salloc's shell on the login node.
  EXPECT_FALSE(launch_of({{"SLURM_JOB_ID", "4711"}, {"SLURM_NTASKS", "8"}}));
}

TEST(Launch, SlurmProblems) {
  const std::string problem = problem_of(with(kSlurm, {{"SLURM_PROCID", "8"},
                                                       {"SLURM_LOCALID", ""},
                                                       {"WORLD_SIZE", "16"},
                                                       {"SLURM_STEP_NODELIST", ""},
                                                       {"SLURM_JOB_NODELIST", ""}}));
  for (const char* name : {"SLURM_PROCID is \"8\"", "SLURM_LOCALID is not set",
                           "WORLD_SIZE is 16, but SLURM_STEP_NUM_TASKS is 8",
                           "neither MASTER_ADDR nor SLURM_STEP_NODELIST"}) {
    EXPECT_NE(problem.find(name), std::string::npos) << problem;
  }
}

TEST(Launch, SlurmNotation) {
  EXPECT_EQ(first_slurm_host("node1"), "node1");
  EXPECT_EQ(first_slurm_host("node[07-09,12],login1"), "node07");
  EXPECT_EQ(first_slurm_host("login1,node[07-09]"), "login1");
  EXPECT_EQ(first_slurm_host("node[3,5-6].cluster"), "node3.cluster");
  EXPECT_EQ(first_slurm_host("rack[2-3]n[01-16]"), "rack2n01");
  EXPECT_EQ(first_slurm_host(""), "");
  EXPECT_EQ(slurm_tasks_of_node("4(x2),3", 0), 4);
  EXPECT_EQ(slurm_tasks_of_node("4(x2),3", 1), 4);
  EXPECT_EQ(slurm_tasks_of_node("4(x2),3", 2), 3);
  EXPECT_EQ(slurm_tasks_of_node("4(x2),3", 3), 0);
  EXPECT_EQ(slurm_tasks_of_node("8", 0), 8);
  EXPECT_EQ(slurm_tasks_of_node("", 0), 0);
  EXPECT_EQ(slurm_tasks_of_node("x", 0), 0);
  EXPECT_EQ(slurm_tasks_of_node("4,", 1), 0);
}

TEST(Slices, CoverTheBatchInOrder) {
  for (const int size : {1, 2, 3, 4, 7}) {
    for (std::int64_t rows = 0; rows < 30; ++rows) {
      std::int64_t end = 0;
      for (int rank = 0; rank < size; ++rank) {
        const Slice slice = slice_of(rows, rank, size);
        EXPECT_EQ(slice.begin, end);
        EXPECT_GE(slice.size(), rows / size);
        EXPECT_LE(slice.size(), (rows + size - 1) / size);
        EXPECT_EQ(slice_sizes(rows, size).at(static_cast<std::size_t>(rank)), slice.size());
        end = slice.end;
      }
      EXPECT_EQ(end, rows);
    }
  }
}

TEST(PackedTexts, AreReadAsWritten) {
  for (const std::vector<std::string>& texts :
       {std::vector<std::string>{}, {""}, {"", "a:b", "12:"}, {std::string(1000, '\n'), "ü"}}) {
    EXPECT_EQ(unpack_texts(pack_texts(texts)), texts);
  }
  for (const char* garbled : {"x", "5:abc", "5", "-1:", "99999999999999999999999:a", ":"}) {
    EXPECT_THROW(unpack_texts(garbled), Error) << garbled;
  }
}

}  // namespace
}  // namespace saferclip
