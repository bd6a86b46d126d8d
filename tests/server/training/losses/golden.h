#pragma once
// [torch] What tests/golden/losses/make_golden.py made, and how gradients are compared with it. Paths are below the
// root of the repository, where ctest runs the tests.

#include <filesystem>
#include <string>

#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "server/training/losses/loss.h"

namespace tandem {

std::filesystem::path LossGoldenPath(const std::string& name);
nlohmann::json ReadLossGolden(const std::string& name);  // Fails the test and returns null when it cannot be read.

// The batch of the files without its embeddings: offsets, scores, similar and labels.
LossBatch JudgedBatch(const nlohmann::json& batch);

double Norm(const torch::Tensor& tensor);

// Expects that the norm of the difference is at most 1e-4 of the larger of `expected`'s norm and 1e-3 of `whole`, the
// norm of everything that is compared in the case.
void ExpectClose(const torch::Tensor& found, const torch::Tensor& expected, double whole, const std::string& what);

}  // namespace tandem
