#pragma once
// How often the kernel's out-of-memory killer struck in the cgroup of this process, where its trainers run too: a
// number that grew while a trainer was ended by SIGKILL says who ended it.

#include <cstdint>
#include <filesystem>
#include <optional>

namespace tandem {

// memory.events (cgroup v2) or memory.oom_control (v1) of this process's cgroup; empty when neither can be read.
std::filesystem::path FindOomKillsFile();

// The number after "oom_kill" in it; nullopt when there is none.
std::optional<int64_t> ReadOomKills(const std::filesystem::path& file);

}  // namespace tandem
