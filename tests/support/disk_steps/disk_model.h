#pragma once
// A disk on which recorded steps are replayed and whose power can be cut after any of them. A file is an inode with
// durable content and unsynced changes, a directory an inode with durable entries and unsynced changes of them: fsync
// of a file makes its content durable and nothing else, fsync of a directory its entries. So a file that was fsynced,
// but whose directory was not, is gone; and a name moved from one directory to another is, until both are fsynced, in
// the one, in both or in none. File systems keep more than that; a program that survives here survives there.
//
//   DiskModel disk = DiskModel::Of(directory);    // before the recorded run; all of it is durable
//   for (const Step& step : log->Read()) disk.Apply(step);
//   disk.WriteTo(empty_directory, PowerCut::kDropUnsynced);
//
// For one thread. The steps' data must stay where it is (the log open) while the model lives. Dies on a step that does
// not fit to those before it: then the recorder missed one.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/disk_steps/step.h"

namespace tandem::test {

// What is left of what was not fsynced.
enum class PowerCut {
  kNothingLost,   // Everything: how a killed process leaves the disk.
  kDropUnsynced,  // Nothing.
  kKeepEntries,   // Names, but not content: a journalling file system that allocates late. Renamed files are empty.
  kRandom,        // Each change of an entry and each block of 4 KiB of each write, or not: by the seed.
};

class DiskModel {
 public:
  static DiskModel Of(const std::filesystem::path& directory);
  static DiskModel Empty(uint64_t root_inode);  // Of a directory that was empty before the run.

  void Apply(const Step& step);

  // Writes what is left into `directory`, which must be there and empty. Does not fsync.
  void WriteTo(const std::filesystem::path& directory, PowerCut cut, uint64_t seed = 0) const;

  // Two states with the same fingerprint are the same tree. Not for kRandom and kNothingLost.
  uint64_t Fingerprint(PowerCut cut) const;

 private:
  struct Node;
  using NodePointer = std::shared_ptr<Node>;
  using Entries = std::map<std::string, NodePointer>;

  struct ContentChange {
    int64_t step = 0;
    bool truncates = false;  // To `offset`; otherwise `data` at `offset`.
    int64_t offset = 0;
    std::string_view data;
  };
  // `removed` goes, then `added` comes, as one; each may be empty.
  struct EntryChange {
    int64_t step = 0;
    std::string removed, added;
    NodePointer node;
  };
  struct Node {
    bool is_directory = false;
    uint64_t id = 0;
    uint64_t version = 0;  // Grows with what is durable.
    std::string content;   // Durable, as entries are.
    std::vector<ContentChange> content_changes;
    Entries entries;
    std::vector<EntryChange> entry_changes;
  };

  NodePointer NewNode(uint64_t inode, bool is_directory);
  NodePointer Find(uint64_t inode, const Step& step) const;
  void Load(const std::filesystem::path& directory, const NodePointer& node);
  void ApplyNewName(const Step& step);
  void Write(const Node& node, const std::filesystem::path& directory, PowerCut cut, uint64_t seed) const;
  uint64_t Fingerprint(const Node& node, PowerCut cut) const;
  static Entries EntriesAfter(const Node& node, PowerCut cut, uint64_t seed);
  static std::string ContentAfter(const Node& node, PowerCut cut, uint64_t seed);
  static void Sync(Node* node);

  int64_t step_ = 0;  // Of those applied.
  uint64_t next_id_ = 1;
  NodePointer root_;
  std::map<uint64_t, NodePointer> nodes_;  // By inode, which a later file may get again.
};

}  // namespace tandem::test
