#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"

namespace tandem::cli {
namespace {

// " (models/mini/revisions/base 87.0 MiB, …)"
std::string UsesOf(const v1::ServerInfo::Memory& memory) {
  if (memory.uses().empty()) return "";
  return absl::StrCat(" (", absl::StrJoin(memory.uses(), ", ",
                                          [](std::string* out, const v1::ServerInfo::Use& use) {
                                            absl::StrAppend(out, use.name(), " ", FormatBytes(use.bytes()));
                                          }),
                      ")");
}

std::string Describe(const std::string& address, const v1::ServerInfo& info) {
  const v1::ServerInfo::Limits& limits = info.limits();
  const std::map<std::string, std::string> libraries(info.libraries().begin(), info.libraries().end());
  return RenderFields({
      {"address", address},
      {"version", info.version()},
      {"running since", FormatTime(info.start_time())},
      {"libraries", absl::StrJoin(libraries, ", ", absl::PairFormatter(" "))},
      {"memory", absl::StrCat(FormatBytes(info.memory().used_bytes()), " of ",
                              FormatBytes(info.memory().budget_bytes()), UsesOf(info.memory()))},
      {"largest message", FormatBytes(limits.max_message_bytes())},
      {"largest text", FormatBytes(limits.max_text_bytes())},
      {"texts a call", FormatCount(limits.max_texts())},
      {"hits a search", FormatCount(limits.max_top_k())},
      {"documents a message", FormatCount(limits.max_documents_per_message())},
      {"examples a message", FormatCount(limits.max_examples_per_message())},
      {"queries of an evaluation set", FormatCount(limits.max_evaluation_queries())},
      {"queued calls", FormatCount(limits.max_queued_calls())},
  });
}

}  // namespace

void AddServerCommands(CLI::App& app, Session& session) {
  CLI::App* server = Session::AddNoun(app, "server", "The server itself", "tandem server info");
  session.Add(*server, "info", "Shows version and limits", "tandem server info\ntandem --server db1:7700 server info",
              [](Client& client, Session& out) -> absl::Status {
                absl::StatusOr<v1::ServerInfo> info = client.server.Info();
                if (!info.ok()) return info.status();
                out.Print(*info, Describe(out.address, *info));
                return absl::OkStatus();
              });
}

}  // namespace tandem::cli
