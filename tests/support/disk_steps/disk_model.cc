#include "tests/support/disk_steps/disk_model.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <sys/stat.h>

#include "tests/support/disk_steps/step_name.h"

namespace tandem::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBlock = 4096;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "disk model: %s\n", what.c_str());
  std::abort();
}

uint64_t Mixed(uint64_t hash, uint64_t value) {  // splitmix64 of the two
  uint64_t z = hash + 0x9e3779b97f4a7c15 + value * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

bool Survives(uint64_t seed, int64_t step, int64_t part) { return (Mixed(Mixed(seed, step), part) & 1) != 0; }

uint64_t InodeOf(const fs::path& path) {
  struct stat stat;
  if (::lstat(path.c_str(), &stat) != 0) Die(path.string() + " is not there");
  return stat.st_ino;
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

void Overwrite(int64_t offset, std::string_view data, std::string* content) {
  const size_t end = offset + data.size();
  if (content->size() < end) content->resize(end, '\0');
  content->replace(offset, data.size(), data);
}

}  // namespace

DiskModel DiskModel::Of(const fs::path& directory) {
  DiskModel disk = Empty(InodeOf(directory));
  disk.Load(directory, disk.root_);
  return disk;
}

DiskModel DiskModel::Empty(uint64_t root_inode) {
  DiskModel disk;
  disk.root_ = disk.NewNode(root_inode, true);
  return disk;
}

void DiskModel::Load(const fs::path& directory, const NodePointer& node) {
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const NodePointer child = NewNode(InodeOf(entry.path()), entry.is_directory());
    node->entries[entry.path().filename()] = child;
    if (entry.is_directory()) {
      Load(entry.path(), child);
    } else {
      std::ifstream file(entry.path(), std::ios::binary);
      child->content.assign(std::istreambuf_iterator<char>(file), {});
    }
  }
}

DiskModel::NodePointer DiskModel::NewNode(uint64_t inode, bool is_directory) {
  auto node = std::make_shared<Node>();
  node->is_directory = is_directory;
  node->id = next_id_++;
  nodes_[inode] = node;
  return node;
}

DiskModel::NodePointer DiskModel::Find(uint64_t inode, const Step& step) const {
  const auto found = nodes_.find(inode);
  if (found == nodes_.end()) {
    Die("step " + std::to_string(step_) + ", " + StepName(step.kind, step.path) + ": nothing is known of inode " +
        std::to_string(inode));
  }
  return found->second;
}

void DiskModel::Apply(const Step& step) {
  const std::string name = NameOf(step.path);
  switch (step.kind) {
    case StepKind::kCreate:
    case StepKind::kMakeDirectory: {
      const NodePointer parent = Find(step.parent, step);
      const NodePointer made = NewNode(step.inode, step.kind == StepKind::kMakeDirectory);
      parent->entry_changes.push_back({.step = step_, .added = name, .node = made});
      break;
    }
    case StepKind::kWrite:
      Find(step.inode, step)->content_changes.push_back({.step = step_, .offset = step.offset, .data = step.data});
      break;
    case StepKind::kTruncate:
      Find(step.inode, step)->content_changes.push_back({.step = step_, .truncates = true, .offset = step.offset});
      break;
    case StepKind::kSync:
      Sync(Find(step.inode, step).get());
      break;
    case StepKind::kRemove:
      Find(step.parent, step)->entry_changes.push_back({.step = step_, .removed = name});
      break;
    case StepKind::kRename:
    case StepKind::kLink:
      ApplyNewName(step);
      break;
  }
  ++step_;
}

void DiskModel::ApplyNewName(const Step& step) {
  const NodePointer node = Find(step.inode, step);
  EntryChange added = {.step = step_, .added = NameOf(step.new_path), .node = node};
  if (step.kind == StepKind::kRename && step.parent == step.new_parent) {
    added.removed = NameOf(step.path);
  } else if (step.kind == StepKind::kRename) {
    Find(step.parent, step)->entry_changes.push_back({.step = step_, .removed = NameOf(step.path)});
  }
  Find(step.new_parent, step)->entry_changes.push_back(std::move(added));
}

void DiskModel::Sync(Node* node) {
  if (node->content_changes.empty() && node->entry_changes.empty()) return;
  node->entries = EntriesAfter(*node, PowerCut::kNothingLost, 0);
  for (const ContentChange& change : node->content_changes) {
    if (change.truncates) {
      node->content.resize(change.offset, '\0');
    } else {
      Overwrite(change.offset, change.data, &node->content);
    }
  }
  node->content_changes.clear();
  node->entry_changes.clear();
  ++node->version;
}

DiskModel::Entries DiskModel::EntriesAfter(const Node& node, PowerCut cut, uint64_t seed) {
  Entries entries = node.entries;
  if (cut == PowerCut::kDropUnsynced) return entries;
  for (const EntryChange& change : node.entry_changes) {
    if (cut == PowerCut::kRandom && !Survives(seed, change.step, -1)) continue;
    if (!change.removed.empty()) entries.erase(change.removed);
    if (!change.added.empty()) entries[change.added] = change.node;
  }
  return entries;
}

std::string DiskModel::ContentAfter(const Node& node, PowerCut cut, uint64_t seed) {
  std::string content = node.content;
  if (cut == PowerCut::kDropUnsynced || cut == PowerCut::kKeepEntries) return content;
  for (const ContentChange& change : node.content_changes) {
    const bool random = cut == PowerCut::kRandom;
    if (change.truncates) {
      if (!random || Survives(seed, change.step, -1)) content.resize(change.offset, '\0');
      continue;
    }
    for (int64_t begin = change.offset, end = begin; begin < change.offset + std::ssize(change.data); begin = end) {
      end = std::min<int64_t>((begin / kBlock + 1) * kBlock, change.offset + std::ssize(change.data));
      if (random && !Survives(seed, change.step, begin / kBlock)) continue;
      Overwrite(begin, change.data.substr(begin - change.offset, end - begin), &content);
    }
  }
  return content;
}

void DiskModel::WriteTo(const fs::path& directory, PowerCut cut, uint64_t seed) const {
  Write(*root_, directory, cut, seed);
}

void DiskModel::Write(const Node& node, const fs::path& directory, PowerCut cut, uint64_t seed) const {
  for (const auto& [name, child] : EntriesAfter(node, cut, seed)) {
    const fs::path path = directory / name;
    if (child->is_directory) {
      fs::create_directory(path);
      Write(*child, path, cut, seed);
      continue;
    }
    const std::string content = ContentAfter(*child, cut, seed);
    std::ofstream file(path, std::ios::binary);
    if (!file.write(content.data(), static_cast<std::streamsize>(content.size())).flush()) {
      Die(path.string() + " cannot be written");
    }
  }
}

uint64_t DiskModel::Fingerprint(PowerCut cut) const { return Fingerprint(*root_, cut); }

uint64_t DiskModel::Fingerprint(const Node& node, PowerCut cut) const {
  uint64_t hash = Mixed(node.id, node.version);
  if (!node.is_directory) return hash;
  hash = node.id;  // What a directory's version counts shows in its entries.
  for (const auto& [name, child] : EntriesAfter(node, cut, 0)) {
    hash = Mixed(Mixed(hash, std::hash<std::string>()(name)), Fingerprint(*child, cut));
  }
  return hash;
}

}  // namespace tandem::test
