#include "client/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/error.h"

namespace tandem {

Client::Client(const std::shared_ptr<const Connection>& connection)
    : datasets(connection),
      models(connection),
      jobs(connection),
      collections(connection),
      releases(connection),
      search(connection),
      snapshots(connection),
      embeddings(connection),
      server(connection) {}

absl::StatusOr<Client> Client::Connect(std::string address, ConnectionOptions options) {
  if (address.empty()) return BadInput("address", "'' is not \"host:port\"");
  if (options.deadline <= absl::ZeroDuration()) {
    return BadInput("deadline", absl::StrCat(absl::FormatDuration(options.deadline), " must be positive"));
  }
  return Client(std::make_shared<const Connection>(std::move(address), std::move(options)));
}

}  // namespace tandem
