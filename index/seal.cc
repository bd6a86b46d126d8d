// VectorIndex::WriteSealed: a snapshot's live vectors in label order, then FAISS's own file made of them.
#include <omp.h>

#include <memory>
#include <string_view>

#include <faiss/impl/io.h>
#include <faiss/index_io.h>

#include "index/checked_writer.h"
#include "index/faiss_guard.h"
#include "index/index_builder.h"
#include "index/index_state.h"
#include "index/mapped_file.h"
#include "index/sealed_format.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

class CheckedFaissWriter : public faiss::IOWriter {
 public:
  explicit CheckedFaissWriter(CheckedWriter* file) : file_(file) {}
  size_t operator()(const void* items, size_t size, size_t count) override {
    if (status_.ok()) status_ = file_->Append({static_cast<const char*>(items), size * count});
    return status_.ok() ? count : 0;
  }
  const absl::Status& status() const { return status_; }

 private:
  CheckedWriter* const file_;
  absl::Status status_;
};

// OpenMP's threads for what this thread does while it lives.
class OpenMpThreads {
 public:
  explicit OpenMpThreads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~OpenMpThreads() { omp_set_num_threads(before_); }

 private:
  const int before_;
};

std::string_view Bytes(const void* data, size_t size) { return {static_cast<const char*>(data), size}; }

// Calls `append(label, vector)` for each live row, labels ascending: sealed labels all lie below fresh ones.
template <typename Append>
absl::Status ForEachLiveRow(const IndexState& state, Append&& append) {
  for (uint32_t row = 0; row < state.sealed_count(); ++row) {
    if (state.sealed_hidden->contains(row)) continue;
    RETURN_IF_ERROR(append(state.sealed->rows().labels[row], state.sealed->vector(row)));
  }
  for (uint32_t position = state.fresh.begin(); position < state.fresh.end(); ++position) {
    if (state.fresh_hidden->contains(position)) continue;
    RETURN_IF_ERROR(append(state.fresh.label(position), state.fresh.vector(position)));
  }
  return absl::OkStatus();
}

absl::Status WriteRows(const IndexState& state, const std::filesystem::path& directory, SealedManifest* manifest) {
  ASSIGN_OR_RETURN(const auto labels, CheckedWriter::Create(directory / kSealedLabelsFile));
  ASSIGN_OR_RETURN(const auto vectors, CheckedWriter::Create(directory / kSealedVectorsFile));
  RETURN_IF_ERROR(ForEachLiveRow(state, [&](int64_t label, std::span<const float> vector) {
    absl::Status status = labels->Append(Bytes(&label, sizeof(label)));
    if (status.ok()) status = vectors->Append(Bytes(vector.data(), vector.size_bytes()));
    return status;
  }));
  ASSIGN_OR_RETURN(manifest->labels_checksum, labels->Close());
  ASSIGN_OR_RETURN(manifest->vectors_checksum, vectors->Close());
  return absl::OkStatus();
}

absl::Status WriteFaissFile(const std::filesystem::path& directory, int threads, SealedManifest* manifest) {
  ASSIGN_OR_RETURN(const auto vectors, MappedFile::Open(directory / kSealedVectorsFile));
  const std::filesystem::path path = directory / kSealedIndexFile;
  ASSIGN_OR_RETURN(const auto file, CheckedWriter::Create(path));
  CheckedFaissWriter writer(file.get());
  const absl::Status built = FaissGuard(path.string(), [&] {
    const OpenMpThreads omp_threads(threads);
    const std::unique_ptr<faiss::Index> index = BuildFaissIndex(manifest->options, manifest->count, vectors->bytes());
    faiss::write_index(index.get(), &writer);
  });
  RETURN_IF_ERROR(writer.status());  // The cause, when FAISS only saw a short write.
  RETURN_IF_ERROR(built);
  ASSIGN_OR_RETURN(manifest->index_checksum, file->Close());
  return absl::OkStatus();
}

}  // namespace

absl::Status VectorIndex::WriteSealed(const IndexSnapshot& snapshot, const VectorIndexOptions& options,
                                      const std::filesystem::path& directory, int threads) {
  RETURN_IF_ERROR(options.Validate());
  const IndexState& state = snapshot.rep_->state;
  if (options.dimensions != state.options.dimensions || options.metric != state.options.metric) {
    return absl::InvalidArgumentError("options: dimensions and metric must be the snapshot's");
  }
  if (threads < 1) return absl::InvalidArgumentError(Concat("threads ", threads, ": must be at least 1"));
  SealedManifest manifest{.commit = state.commit, .count = state.size(), .options = options};
  RETURN_IF_ERROR(WriteRows(state, directory, &manifest));
  RETURN_IF_ERROR(WriteFaissFile(directory, threads, &manifest));
  return WriteManifest(directory, manifest);
}

}  // namespace tandem
