#include "server/training/optimizer.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <optional>

#include "absl/strings/numbers.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
constexpr double kClipEpsilon = 1e-6;  // clip_grad_norm_'s.
constexpr char kFormat[] = "tandem adamw 1 step ";

}  // namespace

bool HasWeightDecay(std::string_view name) {
  std::string dotted = ".";
  for (const char c : name) dotted += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  dotted += ".";
  // transformers' patterns: bias, layernorm, rmsnorm, and "norm" or "..._norm" as a component of the name.
  for (const char* pattern : {"bias", "layernorm", "rmsnorm", ".norm.", "_norm."}) {
    if (dotted.find(pattern) != std::string::npos) return false;
  }
  return true;
}

AdamW::AdamW(const std::vector<ModelParameter>& parameters, const AdamWOptions& options) {
  for (const ModelParameter& parameter : parameters) {
    if (!parameter.value.requires_grad()) continue;
    Group& group = GroupOf(HasWeightDecay(parameter.name) ? options.weight_decay : 0,
                           std::pow(options.layer_decay, static_cast<double>(options.layers - parameter.layer)));
    parameters_.push_back(parameter.value);
    first_moments_.push_back(torch::zeros_like(parameter.value, torch::MemoryFormat::Contiguous));
    second_moments_.push_back(torch::zeros_like(parameter.value, torch::MemoryFormat::Contiguous));
    first_moments_.back().set_requires_grad(false);
    second_moments_.back().set_requires_grad(false);
    group.parameters.push_back(parameter.value);
    group.first_moments.push_back(first_moments_.back());
    group.second_moments.push_back(second_moments_.back());
    group.steps.push_back(torch::zeros({}, torch::kFloat32));
  }
}

AdamW::Group& AdamW::GroupOf(double weight_decay, double rate_factor) {
  for (Group& group : groups_) {
    if (group.weight_decay == weight_decay && group.rate_factor == rate_factor) return group;
  }
  groups_.push_back({.weight_decay = weight_decay, .rate_factor = rate_factor});
  return groups_.back();
}

double AdamW::GradientNorm() const {
  const torch::NoGradGuard no_grad;
  double sum = 0;
  for (const torch::Tensor& parameter : parameters_) {
    if (!parameter.grad().defined()) continue;
    const double norm = torch::linalg_vector_norm(parameter.grad()).item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

void AdamW::Step(double learning_rate, double max_norm, double norm) {
  const torch::NoGradGuard no_grad;
  ++step_;
  const double factor = std::min(1.0, max_norm / (norm + kClipEpsilon));
  // The operator divides gradients by grad_scale.
  std::optional<torch::Tensor> divisor;
  if (factor < 1) divisor = torch::full({}, 1 / factor, torch::kFloat32);
  for (Group& group : groups_) {
    std::vector<torch::Tensor> used, gradients, first, second, steps;
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      if (!group.parameters[i].grad().defined()) continue;
      group.steps[i].fill_(static_cast<double>(step_));
      used.push_back(group.parameters[i]);
      gradients.push_back(group.parameters[i].grad());
      first.push_back(group.first_moments[i]);
      second.push_back(group.second_moments[i]);
      steps.push_back(group.steps[i]);
    }
    if (used.empty()) continue;
    at::_fused_adamw_(used, gradients, first, second, {}, steps, learning_rate * group.rate_factor, kBeta1, kBeta2,
                      group.weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false, divisor);
  }
  for (torch::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
}

std::vector<torch::Tensor> AdamW::Moments() const {
  std::vector<torch::Tensor> moments = first_moments_;
  moments.insert(moments.end(), second_moments_.begin(), second_moments_.end());
  return moments;
}

absl::Status AdamW::Save(const std::filesystem::path& file) const {
  std::ofstream out(file, std::ios::binary);
  out << kFormat << step_ << "\n";
  for (const torch::Tensor& moment : Moments()) {
    out.write(static_cast<const char*>(moment.data_ptr()), static_cast<std::streamsize>(moment.nbytes()));
  }
  out.close();
  if (!out) return absl::InternalError(Concat(file.string(), ": writing failed"));
  return absl::OkStatus();
}

absl::Status AdamW::Load(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string head;
  std::getline(in, head);
  int64_t number = 0;
  if (!in || !head.starts_with(kFormat) || !absl::SimpleAtoi(head.substr(sizeof(kFormat) - 1), &number)) {
    return absl::DataLossError(Concat(file.string(), ": not an optimizer state"));
  }
  for (const torch::Tensor& moment : Moments()) {
    in.read(static_cast<char*>(moment.data_ptr()), static_cast<std::streamsize>(moment.nbytes()));
  }
  if (!in || in.peek() != std::ifstream::traits_type::eof()) {
    return absl::DataLossError(Concat(file.string(), ": does not fit the model's parameters"));
  }
  step_ = number;
  return absl::OkStatus();
}

}  // namespace tandem
