// gradient_cache_bench MODEL_DIRECTORY [BATCH_SIZE]: what gradient caching costs and keeps. Prints the largest resident
// memory of tandem-trainer (VmHWM) and its speed for a step of 64 pairs at once, and for one of BATCH_SIZE pairs
// (4,096; 0: none of this) in pieces of 64 texts; then, for 128 pairs with dropout, the largest differences between the
// gradients at once and in pieces, and of both from those that the same model has in float64: the norm of the
// difference over the larger of the parameter's and 1e-3 of the whole norm.
// Texts are random words, 4 to 16 in an anchor and 16 to 100 in a document, cut at 128 tokens.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/base/files.h"
#include "server/base/random.h"
#include "server/base/strings.h"
#include "server/training/training_step.h"
#include "tests/server/training/float64_bert.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

constexpr int kPieces = 64;  // Texts.

std::string RandomText(SplitMix64& random, uint64_t fewest, uint64_t most) {
  static const std::vector<std::string> kWords = {"library", "search", "network",  "image", "server",  "tool",
                                                  "python",  "tree",   "compiler", "music", "package", "kernel",
                                                  "for",     "the",    "of",       "with",  "and",     "data"};
  std::string text;
  for (uint64_t n = fewest + random.Below(most - fewest + 1); n > 0; --n) {
    text += kWords[random.Below(kWords.size())] + " " + (random.Below(4) == 0 ? Concat(random.Below(100000), " ") : "");
  }
  return text;
}

fs::path MakeJob(const fs::path& directory, const fs::path& model, int batch_size, std::optional<int> micro) {
  fs::remove_all(directory);
  fs::create_directories(directory);
  TrainerOptions options;
  options.base_directory = fs::absolute(model).string();
  options.batch_size = batch_size;
  options.micro_batch_size = micro;
  options.max_steps = 1;
  options.max_length = 128;
  options.validation_fraction = 0;
  options.threads = 2;
  std::ofstream(directory / kOptionsFile) << ToJson(options).dump();
  std::ofstream examples(directory / ExamplesFile(0));
  SplitMix64 random(1);
  for (int i = 0; i < batch_size; ++i) {
    const nlohmann::json pair = {{"anchor", RandomText(random, 4, 16) + std::to_string(i)},
                                 {"positives", {RandomText(random, 16, 100) + std::to_string(i)}}};
    examples << pair.dump() << "\n";
  }
  return directory;
}

// Of a running process, in MiB; 0 when it cannot be told.
double PeakMemory(pid_t pid) {
  std::ifstream status(Concat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

// Runs tandem-trainer on the job and returns the largest VmHWM that was seen, every 10 ms.
double RunTrainerProgram(const fs::path& job) {
  const std::string program = (fs::read_symlink("/proc/self/exe").parent_path() / "tandem-trainer").string();
  const pid_t pid = fork();
  if (pid == 0) {
    execl(program.c_str(), program.c_str(), job.c_str(), nullptr);
    _exit(127);
  }
  double peak = 0;
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    peak = std::max(peak, PeakMemory(pid));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != kTrainerDone) {
    std::fprintf(stderr, "tandem-trainer %s failed\n", job.c_str());
    std::exit(1);
  }
  return peak;
}

double PairsPerSecond(const fs::path& job) {
  std::ifstream events(job / kEventsFile);
  for (std::string line; std::getline(events, line);) {
    const nlohmann::json event = nlohmann::json::parse(line.substr(line.find(' ') + 1));
    if (event["type"] == "step") return event["pairs_per_second"].get<double>();
  }
  return 0;
}

absl::Status GoOn(int64_t, int64_t) { return absl::OkStatus(); }

double Norm(const torch::Tensor& tensor) { return tensor.to(torch::kFloat64).norm().item<double>(); }

// The largest over all parameters, and where it is.
struct Difference {
  double value = 0;
  std::string parameter;
};

Difference LargestDifference(const std::vector<ModelParameter>& parameters, const std::vector<torch::Tensor>& a,
                             const std::vector<torch::Tensor>& b) {
  double square = 0;
  Difference largest;
  for (const torch::Tensor& gradient : a) square += gradient.defined() ? std::pow(Norm(gradient), 2) : 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!a[i].defined()) continue;
    const double value = Norm(a[i] - b[i]) / std::max(Norm(a[i]), 1e-3 * std::sqrt(square));
    if (value > largest.value) largest = {value, parameters[i].name};
  }
  return largest;
}

std::vector<torch::Tensor> Gradients(const TrainingStep& step, const EmbedTexts& embed,
                                     const std::vector<ModelParameter>& parameters, std::optional<int> micro) {
  for (const ModelParameter& parameter : parameters) parameter.value.set_requires_grad(true).mutable_grad().reset();
  step.Backward(embed, micro, GoOn).value();
  std::vector<torch::Tensor> gradients;
  for (const ModelParameter& parameter : parameters) gradients.push_back(parameter.value.grad());
  return gradients;
}

// Of the gradients of one batch at once and in pieces, in float32, from each other and from those in float64.
void PrintGradientDifferences(const fs::path& model_directory, const fs::path& job, int pairs) {
  const auto model = TextModel::Load(model_directory).value();
  TextTable texts;
  const ExampleSet set = ReadExampleFile(job / ExamplesFile(0), texts).value();
  const ExampleSet* const sets[] = {&set};
  const TokenCache tokens = TokenCache::Make(texts, sets, model->tokenizer(), model->contract(), 128, GoOn).value();
  std::vector<int32_t> batch(pairs);
  for (int i = 0; i < pairs; ++i) batch[i] = i;
  const LossOptions loss;
  TrainingStep step(&tokens, 42, 0);
  step.Add({0, batch}, set, loss, 1);
  const std::vector<ModelParameter> parameters = model->Parameters();
  const EmbedTexts embed = [&](const PackedTokens& packed, const DropoutSource& dropout) {
    return model->Forward(packed, &dropout);
  };
  const Float64Bert exact_model(*model, model_directory);
  const EmbedTexts exact_embed = [&](const PackedTokens& packed, const DropoutSource& dropout) {
    return exact_model.Forward(packed, dropout);
  };
  const auto whole = Gradients(step, embed, parameters, std::nullopt);
  const auto pieces = Gradients(step, embed, parameters, kPieces);
  const auto exact = Gradients(step, exact_embed, exact_model.parameters(), kPieces);
  const auto print = [&](const char* what, const auto& a, const auto& b) {
    const Difference largest = LargestDifference(parameters, a, b);
    std::printf("  %s: %.2e (%s)\n", what, largest.value, largest.parameter.c_str());
  };
  std::printf("largest gradient difference of %d pairs\n", pairs);
  print("at once, and in pieces", whole, pieces);
  print("float64, and at once", exact, whole);
  print("float64, and in pieces", exact, pieces);
}

void PrintMemoryAndSpeed(const fs::path& model, const fs::path& folder, int batch_size) {
  const fs::path small = MakeJob(folder / "64", model, 64, std::nullopt);
  const fs::path large = MakeJob(folder / "large", model, batch_size, kPieces);
  const double small_peak = RunTrainerProgram(small), large_peak = RunTrainerProgram(large);
  std::printf("64 pairs at once: %.0f MiB, %.1f pairs a second\n", small_peak, PairsPerSecond(small));
  std::printf("%d pairs in pieces of %d texts: %.0f MiB (%.2f times), %.1f pairs a second\n", batch_size, kPieces,
              large_peak, large_peak / small_peak, PairsPerSecond(large));
}

int Main(const fs::path& model, int batch_size) {
  const fs::path folder = fs::temp_directory_path() / Concat("gradient_cache_bench_", getpid());
  if (batch_size > 0) PrintMemoryAndSpeed(model, folder, batch_size);
  PrintGradientDifferences(model, MakeJob(folder / "128", model, 128, std::nullopt), 128);
  fs::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: gradient_cache_bench MODEL_DIRECTORY [BATCH_SIZE]\n");
    return 1;
  }
  return tandem::Main(argv[1], argc > 2 ? std::atoi(argv[2]) : 4096);
}
