#pragma once
// One JSON object of a model directory, with getters whose errors name file, key and value. Not there or null means the
// default. DATA_LOSS: the file is not a JSON object; INVALID_ARGUMENT: a key has a value that tandem cannot use.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

class JsonFile {
 public:
  // `name` is the path below `directory`; nullopt when there is no such file.
  static absl::StatusOr<std::optional<JsonFile>> ReadIfThere(const std::filesystem::path& directory,
                                                             const std::filesystem::path& name);
  // INVALID_ARGUMENT when there is no such file.
  static absl::StatusOr<JsonFile> Read(const std::filesystem::path& directory, const std::filesystem::path& name);

  const std::string& name() const { return name_; }
  const nlohmann::json& json() const { return json_; }
  bool Has(std::string_view key) const;            // There and not null.
  nlohmann::json Get(std::string_view key) const;  // Null when not there.

  absl::StatusOr<int64_t> Integer(std::string_view key, int64_t otherwise) const;
  absl::StatusOr<double> Number(std::string_view key, double otherwise) const;
  absl::StatusOr<bool> Boolean(std::string_view key, bool otherwise) const;
  absl::StatusOr<std::string> String(std::string_view key, std::string_view otherwise) const;

  // INVALID_ARGUMENT "<file>: <key> <value> is not supported: <why>".
  absl::Status Unsupported(std::string_view key, std::string_view why) const;
  // Unsupported(key, why) unless the key is not there, null, false or empty.
  absl::Status RefuseIfSet(std::string_view key, std::string_view why) const;

 private:
  JsonFile(std::string name, nlohmann::json json) : name_(std::move(name)), json_(std::move(json)) {}
  absl::Status WrongType(std::string_view key, std::string_view expected) const;

  std::string name_;
  nlohmann::json json_;
};

}  // namespace tandem
