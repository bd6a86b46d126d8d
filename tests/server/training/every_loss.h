#pragma once
// One of each kind of loss, and of the options that change how a batch is looked at, with examples of the form that it
// takes.

#include <ostream>
#include <string>
#include <vector>

#include "server/base/loss_options.h"

namespace tandem {

struct NamedLoss {
  std::string name;  // A C++ identifier.
  LossOptions loss;
  ExampleForm form = ExampleForm::kPair;
};
inline std::ostream& operator<<(std::ostream& out, const NamedLoss& loss) { return out << loss.name; }

std::vector<NamedLoss> EveryLoss();

// Lines of an examples file of the form. Example i of pairs shares two words of a small set and a number with its
// positives; every third pair has a negative, or every one; with `several`, every other one a second positive.
std::vector<std::string> ExampleLines(ExampleForm form, int count, bool negatives_everywhere = false,
                                      bool several = false);
std::vector<std::string> ExampleLines(const NamedLoss& loss, int count);

}  // namespace tandem
