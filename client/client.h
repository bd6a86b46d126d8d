#pragma once
// The C++ client of tandem: one object for one server, one member for each noun of the API. Messages are the API's own
// (tandem/v1/*.pb.h). Names may be short everywhere, see names.h.
//
//   absl::StatusOr<tandem::Client> client = tandem::Client::Connect("127.0.0.1:7700");
//   v1::SearchRequest request;
//   request.set_collection("docs");
//   request.set_text("tool that shows free disk space");
//   absl::StatusOr<v1::SearchResponse> answer = client->search.Query(request);
//
// Every call returns absl::Status or StatusOr; messages name the field at fault and say what to do (error.h). Calls
// that can be repeated without harm are repeated while the server is away for a moment; uploads and watches go on where
// they broke off. Thread-safe; copies share the connection.

#include <string>

#include "absl/status/statusor.h"
#include "client/collections.h"
#include "client/connection.h"
#include "client/datasets.h"
#include "client/jobs.h"
#include "client/models.h"
#include "client/releases.h"
#include "client/search.h"
#include "client/snapshots.h"

namespace tandem {

class Client {
 public:
  // INVALID_ARGUMENT for an empty address or a deadline that is not positive. The connection is made by the first call.
  static absl::StatusOr<Client> Connect(std::string address, ConnectionOptions options = {});

  Datasets datasets;
  Models models;
  Jobs jobs;
  Collections collections;
  Releases releases;
  Search search;
  Snapshots snapshots;
  Embeddings embeddings;
  Server server;

 private:
  explicit Client(const std::shared_ptr<const Connection>& connection);
};

}  // namespace tandem
