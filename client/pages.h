#pragma once
// Lists that come in pages, as one.

#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

// Calls `next` (a function from Request to StatusOr<Response>) until there is no further page or `limit` items are
// there, and collects what `items` (a function from Response* to a repeated field) gives. `limit` 0 is all.
template <class Item, class Request, class Next, class Items>
absl::StatusOr<std::vector<Item>> CollectPages(Request request, size_t limit, Next next, Items items) {
  std::vector<Item> result;
  while (true) {
    const size_t wanted = limit == 0 ? 1000 : std::min<size_t>(1000, limit - result.size());
    request.set_page_size(static_cast<int32_t>(wanted));
    auto response = next(request);
    if (!response.ok()) return response.status();
    for (auto& item : *items(&*response)) {
      if (limit == 0 || result.size() < limit) result.push_back(std::move(item));
    }
    if (response->next_page_token().empty() || (limit != 0 && result.size() >= limit)) return result;
    request.set_page_token(response->next_page_token());
  }
}

}  // namespace tandem
