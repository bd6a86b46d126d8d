#include "server/jobs/job_examples.h"

#include <algorithm>
#include <unordered_map>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

// One read of the store; bounds the memory that examples of many long texts take.
constexpr int kExamplesPerRead = 100;
constexpr int64_t kBytesPerRead = 16 << 20;
// The others of a batch are what an example is compared with.
constexpr int64_t kFewestExamples = 2;
constexpr int64_t kFewestClasses = 2, kFewestTextsOfAClass = 2;

bool IsExplicitTriplet(const LossOptions& loss) {
  const auto* const triplet = std::get_if<TripletOptions>(&loss.kind);
  return triplet != nullptr && triplet->mining == TripletOptions::Mining::kExplicit;
}

bool NeedsClasses(const LossOptions& loss) {
  return Takes(loss, ExampleForm::kLabelledText) && !Takes(loss, ExampleForm::kText);
}

// Looks at one example after the other.
class ExampleChecker {
 public:
  explicit ExampleChecker(const ExampleSource& source) : source_(source) {}

  absl::Status Check(const StoredExample& stored) {
    const Example& example = stored.example;
    const auto form = static_cast<ExampleForm>(example.kind);  // The same values.
    if (source_.loss != nullptr && !Takes(*source_.loss, form)) {
      return Fault(stored, Concat(NameOf(form), ", which loss ", NameOf(*source_.loss), " does not take"));
    }
    if (stored_ == 0) counts_.form = form;
    if (form != counts_.form) {
      return Fault(stored,
                   Concat(NameOf(form), ", and each before it is ", NameOf(counts_.form), ": all must be of one form"));
    }
    ++stored_;
    counts_.examples += source_.loss == nullptr ? 1 : ExamplesMadeOf(example, *source_.loss);
    if (source_.loss == nullptr) return absl::OkStatus();
    if (IsExplicitTriplet(*source_.loss) && example.negatives.empty() && !source_.mined) {
      return Fault(stored,
                   "a pair without negatives, and loss triplet with mining EXPLICIT needs one unless options.mining "
                   "finds them");
    }
    if (NeedsClasses(*source_.loss)) ++texts_of_class_[example.label];
    return absl::OkStatus();
  }

  absl::StatusOr<ExampleCounts> Finish() const {
    const int64_t fewest = source_.loss == nullptr ? 1 : kFewestExamples;
    if (stored_ < fewest) {
      return InvalidField(source_.field, Concat(Name(), ": has ", stored_, " examples up to commit ", source_.up_to,
                                                ", must have at least ", fewest));
    }
    const int64_t classes = std::count_if(texts_of_class_.begin(), texts_of_class_.end(),
                                          [](const auto& entry) { return entry.second >= kFewestTextsOfAClass; });
    if (source_.loss != nullptr && NeedsClasses(*source_.loss) && classes < kFewestClasses) {
      return InvalidField(source_.field, Concat(Name(), ": has ", classes, " classes with at least ",
                                                kFewestTextsOfAClass, " texts up to commit ", source_.up_to, "; loss ",
                                                NameOf(*source_.loss), " needs at least ", kFewestClasses));
    }
    return counts_;
  }

 private:
  std::string Name() const { return Concat("datasets/", source_.dataset); }

  absl::Status Fault(const StoredExample& stored, std::string_view what) const {
    return InvalidField(source_.field, Concat(Name(), ": the example of commit ", stored.commit, " is ", what));
  }

  const ExampleSource& source_;
  ExampleCounts counts_;
  int64_t stored_ = 0;
  std::unordered_map<std::string, int64_t> texts_of_class_;
};

}  // namespace

absl::Status VisitExamples(MetaStore* store, const std::string& tenant, const DatasetCommit& up_to,
                           const std::function<absl::Status(const StoredExample&)>& visit) {
  for (int64_t after = 0; after < up_to.commit;) {
    ASSIGN_OR_RETURN(const std::vector<StoredExample> page,
                     store->ReadExamples(tenant, up_to.dataset, after, up_to.commit, kExamplesPerRead, kBytesPerRead));
    if (page.empty()) break;
    for (const StoredExample& stored : page) RETURN_IF_ERROR(visit(stored));
    after = page.back().commit;
  }
  return absl::OkStatus();
}

absl::StatusOr<ExampleCounts> ReadExamples(MetaStore* store, const ExampleSource& source,
                                           const std::function<void(const Example&)>& visit) {
  ExampleChecker checker(source);
  RETURN_IF_ERROR(VisitExamples(store, source.tenant, {source.dataset, source.up_to}, [&](const StoredExample& stored) {
    RETURN_IF_ERROR(checker.Check(stored));
    visit(stored.example);
    return absl::OkStatus();
  }));
  return checker.Finish();
}

bool TakesPositivesTogether(const LossOptions& loss) {
  const auto* const info_nce = std::get_if<InfoNceOptions>(&loss.kind);
  return info_nce != nullptr && info_nce->several_positives;
}

int64_t ExamplesMadeOf(const Example& example, const LossOptions& loss) {
  const bool one = TakesPositivesTogether(loss) || std::holds_alternative<SimCseOptions>(loss.kind);
  if (one || example.kind != ExampleKind::kPair) return 1;
  return static_cast<int64_t>(example.positives.size());
}

std::string LineOf(const Example& example) {
  const auto second = [&]() { return example.positives.empty() ? std::string() : example.positives[0]; };
  nlohmann::json line;
  switch (example.kind) {
    case ExampleKind::kPair:
      line = {{"anchor", example.anchor}, {"positives", example.positives}, {"negatives", example.negatives}};
      break;
    case ExampleKind::kScoredPair:
      line = {{"first", example.anchor}, {"second", second()}, {"score", example.score}};
      break;
    case ExampleKind::kLabelledPair:
      line = {{"first", example.anchor}, {"second", second()}, {"similar", example.similar}};
      break;
    case ExampleKind::kLabelledText:
      line = {{"text", example.anchor}, {"label", example.label}};
      break;
    case ExampleKind::kText:
      line = nlohmann::json{{"text", example.anchor}};
      break;
  }
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace tandem
