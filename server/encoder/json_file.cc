#include "server/encoder/json_file.h"

#include <utility>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

// A value as a message shows it; weights files' authors write long ones.
std::string Shown(const nlohmann::json& value) {
  constexpr size_t kMaxShown = 200;
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

}  // namespace

absl::StatusOr<std::optional<JsonFile>> JsonFile::ReadIfThere(const std::filesystem::path& directory,
                                                              const std::filesystem::path& name) {
  absl::StatusOr<std::string> bytes = ReadFile(directory / name);
  if (absl::IsNotFound(bytes.status())) return std::optional<JsonFile>();
  if (!bytes.ok()) return bytes.status();
  nlohmann::json json = nlohmann::json::parse(*bytes, /*cb=*/nullptr, /*allow_exceptions=*/false);
  const bool usable = name.filename() == "modules.json" ? json.is_array() : json.is_object();
  if (!usable) return absl::DataLossError(Concat(name.string(), ": damaged, or not the JSON that it should be"));
  return std::optional<JsonFile>(JsonFile(name.string(), std::move(json)));
}

absl::StatusOr<JsonFile> JsonFile::Read(const std::filesystem::path& directory, const std::filesystem::path& name) {
  ASSIGN_OR_RETURN(std::optional<JsonFile> file, ReadIfThere(directory, name));
  if (!file.has_value()) return absl::InvalidArgumentError(Concat(name.string(), ": is missing"));
  return *std::move(file);
}

nlohmann::json JsonFile::Get(std::string_view key) const {
  const auto found = json_.find(std::string(key));
  return found == json_.end() ? nlohmann::json() : *found;
}

bool JsonFile::Has(std::string_view key) const { return !Get(key).is_null(); }

absl::StatusOr<int64_t> JsonFile::Integer(std::string_view key, int64_t otherwise) const {
  const nlohmann::json value = Get(key);
  if (value.is_null()) return otherwise;
  if (!value.is_number_integer()) return WrongType(key, "an integer");
  return value.get<int64_t>();
}

absl::StatusOr<double> JsonFile::Number(std::string_view key, double otherwise) const {
  const nlohmann::json value = Get(key);
  if (value.is_null()) return otherwise;
  if (!value.is_number()) return WrongType(key, "a number");
  return value.get<double>();
}

absl::StatusOr<bool> JsonFile::Boolean(std::string_view key, bool otherwise) const {
  const nlohmann::json value = Get(key);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) return WrongType(key, "true or false");
  return value.get<bool>();
}

absl::StatusOr<std::string> JsonFile::String(std::string_view key, std::string_view otherwise) const {
  const nlohmann::json value = Get(key);
  if (value.is_null()) return std::string(otherwise);
  if (!value.is_string()) return WrongType(key, "a string");
  return value.get<std::string>();
}

absl::Status JsonFile::Unsupported(std::string_view key, std::string_view why) const {
  return absl::InvalidArgumentError(Concat(name_, ": ", key, " ", Shown(Get(key)), " is not supported: ", why));
}

absl::Status JsonFile::RefuseIfSet(std::string_view key, std::string_view why) const {
  const nlohmann::json value = Get(key);
  const bool unset = value.is_null() || value == false || ((value.is_object() || value.is_array()) && value.empty());
  return unset ? absl::OkStatus() : Unsupported(key, why);
}

absl::Status JsonFile::WrongType(std::string_view key, std::string_view expected) const {
  return absl::InvalidArgumentError(Concat(name_, ": ", key, " ", Shown(Get(key)), ": must be ", expected));
}

}  // namespace tandem
