#pragma once
// Names for steps. A name tells what is done to a file of which role, and is the same in every run: ids, commits, step
// numbers and random suffixes are left out.
//   write meta.db-wal                  sync collections/documents.db-wal      rename collections/releases/sealed
//   create jobs/.staging-checkpoint/optimizer.bin    sync jobs    make jobs/job    remove models/revision
// An SQLite commit is the sync of its -wal file. What carries a client's id appears as its noun. A model directory has
// two roles of files: model.safetensors, and "settings" for all of the small ones.

#include <string>
#include <string_view>

#include "tests/support/disk_steps/step.h"

namespace tandem::test {

// `path` is relative to the data directory. "." for the directory itself.
std::string RoleOf(std::string_view path);

// The verb and the role; of a rename the role of the new name.
std::string StepName(StepKind kind, std::string_view path);
std::string StepName(const Step& step);

}  // namespace tandem::test
