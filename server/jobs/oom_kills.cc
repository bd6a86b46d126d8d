#include "server/jobs/oom_kills.h"

#include <fstream>
#include <string>
#include <vector>

namespace tandem {

std::filesystem::path FindOomKillsFile() {
  const std::filesystem::path root = "/sys/fs/cgroup";
  std::vector<std::filesystem::path> candidates;
  std::ifstream cgroups("/proc/self/cgroup");
  for (std::string line; std::getline(cgroups, line);) {  // "<hierarchy>:<controllers>:/<path>"
    const size_t colon = line.find(":/");
    if (colon == line.npos) continue;
    const std::string path = line.substr(colon + 2);
    if (line.starts_with("0::/")) candidates.push_back(root / path / "memory.events");
    if (line.find(":memory:/") != line.npos) candidates.push_back(root / "memory" / path / "memory.oom_control");
  }
  // A container may see its own cgroup as the root of the mount while the lines above have the host's paths.
  candidates.push_back(root / "memory.events");
  candidates.push_back(root / "memory" / "memory.oom_control");
  for (const std::filesystem::path& file : candidates) {
    if (ReadOomKills(file).has_value()) return file;
  }
  return "";
}

std::optional<int64_t> ReadOomKills(const std::filesystem::path& file) {
  std::ifstream lines(file);
  std::string key;
  for (int64_t value = 0; lines >> key >> value;) {
    if (key == "oom_kill") return value;
  }
  return std::nullopt;
}

}  // namespace tandem
