#pragma once
// Ids: the last segment of a resource name, chosen by the client or, when it leaves the field empty, made here.

#include <string>
#include <string_view>

namespace tandem {

// 11 characters of time (microseconds since 1970, base 32) and 8 random ones, 19 in all. Ids of one process ascend in
// the order of the calls, those of several processes by their clocks. Thread-safe.
std::string NewId();

// Whether `id` matches [a-z0-9][a-z0-9._-]{0,62}.
bool ValidId(std::string_view id);

}  // namespace tandem
