#include "server/rpc/model_upload.h"

#include <system_error>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/release/release_directory.h"
#include "server/rpc/limits.h"
#include "spdlog/spdlog.h"

namespace tandem {

namespace fs = std::filesystem;

ModelUpload::~ModelUpload() {
  file_.close();
  if (staging_.empty()) return;
  if (const absl::Status status = RemoveTree(staging_); !status.ok()) {
    spdlog::warn("an import that did not end well is left behind: {}", std::string(status.message()));
  }
}

absl::Status ModelUpload::Begin() {
  RETURN_IF_ERROR(CreateDirectories(directory_.parent_path()));
  ASSIGN_OR_RETURN(staging_, MakeStagingDirectory(directory_));
  return absl::OkStatus();
}

absl::Status ModelUpload::Append(std::string_view path, std::string_view data) {
  if (path != path_) {
    RETURN_IF_ERROR(EndFile());
    if (!paths_.emplace(path).second) {
      return InvalidField("chunk.path", Concat("\"", path, "\": chunks of a file must follow one another"));
    }
    if (paths_.size() > kMaxModelFiles) {
      return InvalidField("chunk.path", Concat("more than ", kMaxModelFiles, " files: no model has so many"));
    }
    path_ = path;
    const fs::path target = staging_ / path_;
    RETURN_IF_ERROR(CreateDirectories(target.parent_path()));
    std::error_code error;
    if (fs::is_directory(target, error)) {
      return InvalidField("chunk.path", Concat("\"", path, "\": is a directory of other files"));
    }
    file_.open(target, std::ios::binary | std::ios::trunc);
  }
  bytes_ += static_cast<int64_t>(data.size());
  if (bytes_ > kMaxModelBytes) {
    return InvalidField("chunk.data", Concat("more than ", kMaxModelBytes, " bytes in all files"));
  }
  file_.write(data.data(), static_cast<std::streamsize>(data.size()));
  return file_ ? absl::OkStatus()
               : absl::ResourceExhaustedError(Concat("\"", path, "\" cannot be written: disk full?"));
}

absl::Status ModelUpload::EndFile() {
  if (!file_.is_open()) return absl::OkStatus();
  file_.close();
  return file_ ? absl::OkStatus()
               : absl::ResourceExhaustedError(Concat("\"", path_, "\" cannot be written: disk full?"));
}

absl::Status ModelUpload::CopyFrom(const fs::path& root, std::string_view directory) {
  std::error_code error;
  const fs::path real_root = fs::canonical(root, error);
  if (error) return absl::FailedPreconditionError(Concat("--model-import-dir: ", error.message()));
  const fs::path source = fs::canonical(real_root / directory, error);
  if (error || !fs::is_directory(source, error)) {
    return InvalidField("header.directory", Concat("\"", directory, "\": no such directory below --model-import-dir"));
  }
  const fs::path relative = source.lexically_relative(real_root);
  if (relative.empty() || *relative.begin() == "..") {
    return InvalidField("header.directory", Concat("\"", directory, "\": leads out of --model-import-dir"));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(source));
  if (files.size() > kMaxModelFiles) {
    return InvalidField("header.directory", Concat(files.size(), " files: must have at most ", kMaxModelFiles));
  }
  for (const std::string& file : files) bytes_ += static_cast<int64_t>(fs::file_size(source / file, error));
  if (bytes_ > kMaxModelBytes) {
    return InvalidField("header.directory", Concat(bytes_, " bytes: must have at most ", kMaxModelBytes));
  }
  return CopyTree(source, staging_);
}

absl::StatusOr<ModelDescription> ModelUpload::Publish() {
  RETURN_IF_ERROR(EndFile());
  ASSIGN_OR_RETURN(ModelDescription description, DescribeModel(staging_));
  RETURN_IF_ERROR(PublishDirectory(staging_, directory_));
  staging_.clear();
  return description;
}

absl::Status CleanModelDirectories(const fs::path& data_directory, MetaStore* meta) {
  std::set<std::string> known;     // tenant/model/revision
  std::set<std::string> expected;  // tenant/model that a job adds to
  ASSIGN_OR_RETURN(const auto revisions, meta->AllModelRevisions());
  for (const ModelRevisionRecord& revision : revisions) {
    known.insert(Concat(revision.tenant, "/", revision.model, "/", revision.id));
  }
  for (const JobState state : {JobState::kQueued, JobState::kRunning}) {
    ASSIGN_OR_RETURN(const auto jobs, meta->AllJobs(state));
    for (const JobRecord& job : jobs) expected.insert(Concat(job.tenant, "/", job.target_model));
  }
  const fs::path models = data_directory / "models";
  ASSIGN_OR_RETURN(const auto tenants, ListDirectories(models));
  for (const std::string& tenant : tenants) {
    ASSIGN_OR_RETURN(const auto names, ListDirectories(models / tenant));
    for (const std::string& name : names) {
      const fs::path model = models / tenant / name;
      RETURN_IF_ERROR(RemoveStaging(model));
      ASSIGN_OR_RETURN(const auto directories, ListDirectories(model));
      for (const std::string& revision : directories) {
        const std::string key = Concat(tenant, "/", name);
        if (known.contains(Concat(key, "/", revision)) || expected.contains(key)) continue;
        spdlog::info("removing models/{}/{}: no revision has this name", key, revision);
        RETURN_IF_ERROR(RemoveTree(model / revision));
      }
      std::error_code not_empty;
      fs::remove(model, not_empty);
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem
