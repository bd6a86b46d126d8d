#include "tests/support/disk_steps/step_name.h"

#include <algorithm>
#include <cctype>
#include <span>

namespace tandem::test {
namespace {

constexpr std::string_view kStagingPrefix = ".staging-";
constexpr std::string_view kTemporaryPrefix = ".tmp";

// Folders whose next levels are named by clients or by generated ids, and what those levels are.
struct NamedLevels {
  std::string_view folder;  // Its role.
  std::string_view nouns[3];
};
constexpr NamedLevels kNamedLevels[] = {{"collections", {"tenant", "collection"}},
                                        {"collections/releases", {"release"}},
                                        {"models", {"tenant", "model", "revision"}},
                                        {"jobs", {"tenant", "job"}}};

std::span<const std::string_view> NounsBelow(std::string_view role) {
  for (const NamedLevels& levels : kNamedLevels) {
    if (levels.folder == role) return levels.nouns;
  }
  return {};
}

// "sealed-300" -> "sealed"; ".tmpQYP0l" (how safetensors writes a file before it renames it) -> ".tmp".
std::string_view WithoutNumber(std::string_view name) {
  if (name.starts_with(kTemporaryPrefix)) return kTemporaryPrefix;
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || dash + 1 == name.size()) return name;
  const std::string_view number = name.substr(dash + 1);
  return std::all_of(number.begin(), number.end(), [](unsigned char c) { return std::isdigit(c); })
             ? name.substr(0, dash)
             : name;
}

// ".staging-<name>-<random id>" -> "<name>"; empty when it is no staging name.
std::string_view StagedName(std::string_view name) {
  if (!name.starts_with(kStagingPrefix)) return {};
  name.remove_prefix(kStagingPrefix.size());
  return name.substr(0, name.rfind('-'));
}

// Directories that hold a model, by role; a trainer's checkpoint holds it in model/.
constexpr std::string_view kModels[] = {"models",
                                        "models/.staging-revision",
                                        "jobs/best",
                                        "jobs/.staging-best",
                                        "jobs/result",
                                        "jobs/.staging-result",
                                        "jobs/checkpoint/model",
                                        "jobs/.staging-checkpoint/model"};

// A file in a model directory that is not its weights, or in a folder of one.
bool IsSetting(std::string_view role) {
  return std::ranges::any_of(kModels, [role](std::string_view model) {
    return role.starts_with(model) && role.substr(model.size()).starts_with("/") &&
           (role.ends_with(".json") || role.ends_with(".txt"));
  });
}

void AppendPart(std::string_view part, std::string* role) {
  if (!role->empty()) role->push_back('/');
  role->append(part);
}

std::string_view VerbOf(StepKind kind) {
  switch (kind) {
    case StepKind::kCreate:
      return "create";
    case StepKind::kWrite:
      return "write";
    case StepKind::kTruncate:
      return "truncate";
    case StepKind::kSync:
      return "sync";
    case StepKind::kRename:
      return "rename";
    case StepKind::kLink:
      return "link";
    case StepKind::kRemove:
      return "remove";
    case StepKind::kMakeDirectory:
      return "make";
  }
  return "unknown";
}

}  // namespace

std::string RoleOf(std::string_view path) {
  std::string role;
  std::span<const std::string_view> nouns;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    const std::string_view staged = StagedName(part);
    std::string_view noun;
    if (!nouns.empty() && !nouns.front().empty()) {
      noun = nouns.front();
      nouns = nouns.subspan(1);
    }
    if (!staged.empty()) {
      AppendPart(kStagingPrefix, &role);
      role.append(noun.empty() ? WithoutNumber(staged) : noun);
    } else if (noun.empty()) {
      AppendPart(WithoutNumber(part), &role);
      nouns = NounsBelow(role);
    } else if (path.empty()) {
      AppendPart(noun, &role);
    }
  }
  if (role.empty()) return ".";
  return IsSetting(role) ? role.substr(0, role.rfind('/') + 1) + "settings" : role;
}

std::string StepName(const Step& step) {
  return StepName(step.kind, step.new_path.empty() ? step.path : step.new_path);
}

std::string StepName(StepKind kind, std::string_view path) {
  std::string name(VerbOf(kind));
  name.push_back(' ');
  return name.append(RoleOf(path));
}

}  // namespace tandem::test
