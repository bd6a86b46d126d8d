// Jobs and the steps that they may take.

#include "server/storage/meta_store_rep.h"

namespace tandem {

namespace {

constexpr char kSelectJob[] =
    "SELECT tenant, id, kind, state, create_us, start_us, end_us, attempt, cancel_requested, options, dataset, "
    "base_revision, target_model, result_revision, error_code, error_message, datasets, collection, target_dataset, "
    "result FROM jobs ";

absl::StatusOr<JobRecord> ReadJob(Query& row) {
  JobRecord job;
  job.tenant = row.Text();
  job.id = row.Text();
  job.kind = static_cast<JobKind>(row.Int());
  job.state = static_cast<JobState>(row.Int());
  job.create_time = row.Time();
  job.start_time = row.OptionalTime();
  job.end_time = row.OptionalTime();
  job.attempt = static_cast<int>(row.Int());
  job.cancel_requested = row.Bool();
  job.options_json = row.Text();
  job.dataset = row.Text();
  job.base_revision = row.Text();
  job.target_model = row.Text();
  job.result_revision = row.Text();
  job.error_code = static_cast<int>(row.Int());
  job.error_message = row.Text();
  ASSIGN_OR_RETURN(job.datasets, UnpackIds(row.Blob()));
  job.collection = row.Text();
  job.target_dataset = row.Text();
  job.result_json = row.Text();
  return job;
}

absl::StatusOr<std::vector<JobRecord>> ReadJobs(Query& row) {
  std::vector<JobRecord> jobs;
  while (row.Next()) {
    ASSIGN_OR_RETURN(jobs.emplace_back(), ReadJob(row));
  }
  return jobs;
}

absl::StatusOr<JobRecord> FindJob(Database& db, std::string_view tenant, std::string_view id) {
  Query row(db, Concat(kSelectJob, "WHERE tenant = ? AND id = ?"), tenant, id);
  if (!row.Next()) return NotFound(JobName(id));
  return ReadJob(row);
}

const char* NameOf(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return "QUEUED";
    case JobState::kRunning:
      return "RUNNING";
    case JobState::kSucceeded:
      return "SUCCEEDED";
    case JobState::kFailed:
      return "FAILED";
    case JobState::kCancelled:
      return "CANCELLED";
  }
  return "unknown";
}

bool IsFinished(JobState state) { return state != JobState::kQueued && state != JobState::kRunning; }

bool MayBecome(JobState from, JobState to) {
  switch (from) {
    case JobState::kQueued:
      return to == JobState::kQueued || to == JobState::kRunning || to == JobState::kCancelled;
    case JobState::kRunning:
      return true;
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled:
      return false;
  }
  return false;
}

}  // namespace

absl::Status ReplaceJob(Database& db, const JobRecord& job) {
  ASSIGN_OR_RETURN(const JobRecord old, FindJob(db, job.tenant, job.id));
  if (!MayBecome(old.state, job.state)) {
    return absl::FailedPreconditionError(
        Concat(JobName(job.id), ": is ", NameOf(old.state), ", cannot become ", NameOf(job.state)));
  }
  Query(
      db,
      "UPDATE jobs SET kind = ?, state = ?, create_us = ?, start_us = ?, end_us = ?, attempt = ?, cancel_requested = ?,"
      " options = ?, dataset = ?, base_revision = ?, target_model = ?, result_revision = ?, error_code = ?,"
      " error_message = ?, datasets = ? WHERE tenant = ? AND id = ?",
      job.kind, job.state, job.create_time, job.start_time, job.end_time, job.attempt, job.cancel_requested,
      job.options_json, job.dataset, job.base_revision, job.target_model, job.result_revision, job.error_code,
      job.error_message, PackIds(job.datasets), job.tenant, job.id)
      .Run();
  return absl::OkStatus();
}

absl::Status MetaStore::CreateJob(const JobRecord& job, const Request* request) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    RETURN_IF_ERROR(ReserveAnswer(db, request));
    if (FindJob(db, job.tenant, job.id).ok()) return AlreadyExists(JobName(job.id));
    if (!job.dataset.empty()) RETURN_IF_ERROR(DatasetKey(db, job.tenant, job.dataset).status());
    for (const std::string& dataset : job.datasets) RETURN_IF_ERROR(DatasetKey(db, job.tenant, dataset).status());
    if (!job.base_revision.empty()) RETURN_IF_ERROR(RequireRevision(db, job.tenant, job.base_revision));
    if (!job.collection.empty()) RETURN_IF_ERROR(CollectionKey(db, job.tenant, job.collection).status());
    Query(db,
          "INSERT INTO jobs (tenant, id, kind, state, create_us, start_us, end_us, attempt, cancel_requested, options,"
          " dataset, base_revision, target_model, result_revision, error_code, error_message, datasets, collection,"
          " target_dataset) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          job.tenant, job.id, job.kind, job.state, job.create_time, job.start_time, job.end_time, job.attempt,
          job.cancel_requested, job.options_json, job.dataset, job.base_revision, job.target_model, job.result_revision,
          job.error_code, job.error_message, PackIds(job.datasets), job.collection, job.target_dataset)
        .Run();
    return absl::OkStatus();
  });
}

absl::StatusOr<JobRecord> MetaStore::GetJob(std::string_view tenant, std::string_view id) {
  return rep_->db->Read([&](Database& db) { return FindJob(db, tenant, id); });
}

absl::StatusOr<std::vector<JobRecord>> MetaStore::ListJobs(std::string_view tenant, const Page& page) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<JobRecord>> {
    ASSIGN_OR_RETURN(const int64_t before,
                     KeyBefore(db, page, "SELECT key FROM jobs WHERE tenant = ? AND id = ?", tenant));
    Query row(db, Concat(kSelectJob, "WHERE tenant = ? AND key < ? ORDER BY key DESC LIMIT ?"), tenant, before,
              page.size);
    return ReadJobs(row);
  });
}

absl::StatusOr<std::vector<JobRecord>> MetaStore::AllJobs(JobState state) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<JobRecord>> {
    Query row(db, Concat(kSelectJob, "WHERE state = ? ORDER BY key"), state);
    return ReadJobs(row);
  });
}

absl::Status MetaStore::UpdateJob(const JobRecord& job) {
  return rep_->db->Write([&](Database& db) { return ReplaceJob(db, job); });
}

absl::Status MetaStore::FinishTraining(const JobRecord& job, const ModelRevisionRecord& revision) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    RETURN_IF_ERROR(InsertRevision(db, revision));
    JobRecord finished = job;
    finished.state = JobState::kSucceeded;
    finished.result_revision = RevisionName(revision.model, revision.id);
    return ReplaceJob(db, finished);
  });
}

absl::StatusOr<int64_t> MetaStore::AppendJobExamples(const JobRecord& job, const std::vector<Example>& examples,
                                                     const std::function<std::string(int64_t)>& result) {
  return rep_->db->Write([&](Database& db) -> absl::StatusOr<int64_t> {
    ASSIGN_OR_RETURN(const JobRecord row, FindJob(db, job.tenant, job.id));
    if (row.state != JobState::kRunning) {
      return absl::FailedPreconditionError(Concat(JobName(job.id), ": is ", NameOf(row.state), ", not RUNNING"));
    }
    if (row.cancel_requested && row.result_json.empty()) {
      return absl::CancelledError(Concat(JobName(job.id), ": is to be cancelled"));
    }
    ASSIGN_OR_RETURN(const int64_t key, EnsureDataset(db, job.tenant, job.target_dataset));
    const int64_t last = InsertExamples(db, key, examples);
    Query(db, "UPDATE jobs SET result = ? WHERE tenant = ? AND id = ?", result(last), job.tenant, job.id).Run();
    return last;
  });
}

absl::Status MetaStore::FinishJob(const JobRecord& job, std::string_view result_json) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    RETURN_IF_ERROR(ReplaceJob(db, job));
    Query(db, "UPDATE jobs SET result = ? WHERE tenant = ? AND id = ?", result_json, job.tenant, job.id).Run();
    return absl::OkStatus();
  });
}

absl::Status MetaStore::DeleteJob(std::string_view tenant, std::string_view id) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    ASSIGN_OR_RETURN(const JobRecord job, FindJob(db, tenant, id));
    if (!IsFinished(job.state)) {
      return absl::FailedPreconditionError(
          Concat(JobName(id), ": is ", NameOf(job.state), "; only a finished job can be deleted"));
    }
    Query(db, "DELETE FROM jobs WHERE tenant = ? AND id = ?", tenant, id).Run();
    return absl::OkStatus();
  });
}

}  // namespace tandem
