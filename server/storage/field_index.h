#pragma once
// In memory, which document versions have which values in a collection's filterable fields: per field a set of labels
// for each keyword, or keys with labels for the other types. A label is the commit of a version; superseded versions
// stay until they are erased from documents.db, because an index that is behind may still show them. A filter becomes a
// set of labels here; whoever asks cuts it down to the versions that are shown at one commit.
//
// Threads: one writer and any number of readers; the lock is held for one call (a writer's for the versions of one
// write).

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include <roaring/roaring64map.hh>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/storage/field_values.h"
#include "server/storage/filter.h"
#include "server/storage/number_postings.h"

namespace tandem {

// What one version has.
struct LabelValues {
  int64_t label = 0;
  std::vector<FieldValues> values;
};

class FieldIndex {
 public:
  explicit FieldIndex(std::vector<FilterableField> fields);

  const std::vector<FilterableField>& fields() const { return fields_; }

  void Add(const std::vector<LabelValues>& versions);
  void Remove(const std::vector<LabelValues>& versions);  // With the values that they were added with.

  // The labels that `filter` holds for; `universe` is all labels that may be asked about, which a negation is taken of.
  // `labels_of_ids` gives the labels of documents by id. REQUIRES: CheckFilter(fields(), filter).
  using LabelsOfIds = std::function<absl::StatusOr<Roaring64Map>(const std::vector<std::string>& ids)>;
  absl::StatusOr<Roaring64Map> Match(const Filter& filter, const Roaring64Map& universe,
                                     const LabelsOfIds& labels_of_ids) const;

 private:
  // Most keywords of an identifier-like field have one label, for which a bitmap would take ten times as much.
  class LabelSet {
   public:
    void Add(int64_t label);
    void Remove(int64_t label);
    bool empty() const { return one_ == 0 && (many_ == nullptr || many_->isEmpty()); }
    void AddTo(Roaring64Map* all) const;

   private:
    int64_t one_ = 0;  // Commits begin at 1.
    std::unique_ptr<Roaring64Map> many_;
  };
  struct Postings {
    std::unordered_map<std::string, LabelSet> keywords;
    NumberPostings numbers;
    Roaring64Map present;  // Labels with any value.
  };

  absl::StatusOr<Roaring64Map> MatchOne(const Condition& condition, const Roaring64Map& universe,
                                        const LabelsOfIds& labels_of_ids) const;
  absl::StatusOr<Roaring64Map> MatchAny(const std::vector<Condition>& conditions, const Roaring64Map& universe,
                                        const LabelsOfIds& labels_of_ids) const;
  Roaring64Map MatchField(const FieldCondition& condition, const Roaring64Map& universe) const;
  static void AddEqual(const Postings& postings, const FilterValue& value, Roaring64Map* found);

  const std::vector<FilterableField> fields_;
  mutable absl::Mutex mutex_;
  std::vector<Postings> postings_ ABSL_GUARDED_BY(mutex_);  // By place of the field.
};

}  // namespace tandem
