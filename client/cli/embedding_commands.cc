#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/line_input.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

constexpr size_t kTextsPerCall = 64;

struct Options {
  std::string model, role = "query";
  std::vector<std::string> texts;
  bool refuse_truncation = false;
};

v1::InputRole Role(const Options& options) { return options.role == "query" ? v1::QUERY : v1::DOCUMENT; }

void AddOptions(CLI::App* command, const std::shared_ptr<Options>& options) {
  command->add_option("--model", options->model, "MODEL/REVISION, or MODEL for its newest")->required();
  command->add_option("--role", options->role, "query or document: decides about prompts")
      ->check(CLI::IsMember({"query", "document"}))
      ->capture_default_str();
  command->add_option("TEXT", options->texts, "Texts; lines of stdin when there is none");
}

// Gives the texts, of the command line or else of stdin, to `call` in groups.
absl::Status ForEachGroup(const Options& options,
                          const std::function<absl::Status(const std::vector<std::string>&)>& call) {
  std::vector<std::string> group;
  const auto flush = [&] {
    absl::Status status = group.empty() ? absl::OkStatus() : call(group);
    group.clear();
    return status;
  };
  const auto add = [&](std::string text) {
    group.push_back(std::move(text));
    return group.size() == kTextsPerCall ? flush() : absl::OkStatus();
  };
  for (const std::string& text : options.texts) {
    if (absl::Status status = add(text); !status.ok()) return status;
  }
  if (options.texts.empty()) {
    absl::StatusOr<LineInput> input = LineInput::Open("-");
    if (!input.ok()) return input.status();
    for (std::string line; input->Next(&line);) {
      if (absl::Status status = add(line); !status.ok()) return status;
    }
  }
  return flush();
}

std::string Head(const v1::Vector& vector) {
  std::string text;
  for (int i = 0; i < std::min(4, vector.values_size()); ++i) absl::StrAppendFormat(&text, "%+.4f ", vector.values(i));
  return absl::StrCat(text, "… (", vector.values_size(), ")");
}

absl::Status Embed(Client& client, Session& out, const Options& options) {
  Table table({{"TOKENS", Table::kRight}, {"VECTOR"}, {"TEXT"}});
  absl::Status status = ForEachGroup(options, [&](const std::vector<std::string>& texts) -> absl::Status {
    v1::EmbedRequest request;
    request.set_model(options.model);
    request.set_role(Role(options));
    request.set_refuse_truncation(options.refuse_truncation);
    for (const std::string& text : texts) request.add_texts(text);
    absl::StatusOr<v1::EmbedResponse> response = client.embeddings.Embed(std::move(request));
    if (!response.ok()) return response.status();
    for (int i = 0; i < response->embeddings_size(); ++i) {
      const v1::Embedding& embedding = response->embeddings(i);
      if (out.json) out.PrintLine(ToJson(embedding));
      table.AddRow({absl::StrCat(embedding.token_count(), embedding.truncated() ? " truncated" : ""),
                    Head(embedding.vector()), texts[static_cast<size_t>(i)]});
    }
    return absl::OkStatus();
  });
  if (status.ok() && !out.json) out.PrintTable(table);
  return status;
}

absl::Status Tokenize(Client& client, Session& out, const Options& options) {
  return ForEachGroup(options, [&](const std::vector<std::string>& texts) -> absl::Status {
    v1::TokenizeRequest request;
    request.set_model(options.model);
    request.set_role(Role(options));
    for (const std::string& text : texts) request.add_texts(text);
    absl::StatusOr<v1::TokenizeResponse> response = client.embeddings.Tokenize(std::move(request));
    if (!response.ok()) return response.status();
    for (const v1::TokenizeResponse::Tokens& tokens : response->texts()) {
      std::string line = absl::StrCat(tokens.token_count(), " tokens", tokens.truncated() ? ", truncated" : "", ":");
      for (int32_t id : tokens.ids()) absl::StrAppend(&line, " ", id);
      out.Print(tokens, line);
    }
    return absl::OkStatus();
  });
}

}  // namespace

void AddEmbeddingCommands(CLI::App& app, Session& session) {
  auto embed = std::make_shared<Options>();
  CLI::App* command = session.Add(app, "embed", "Turns texts into vectors; --json prints all of them, one line a text",
                                  "tandem embed --model mini 'show free disk space'\n"
                                  "tandem --json embed --model mini/r1 --role document < texts.txt > vectors.jsonl",
                                  [embed](Client& client, Session& out) { return Embed(client, out, *embed); });
  AddOptions(command, embed);
  command->add_flag("--refuse-truncation", embed->refuse_truncation, "A text longer than the model reads is an error");

  auto tokenize = std::make_shared<Options>();
  command = session.Add(app, "tokenize", "Shows the token ids that the model reads",
                        "tandem tokenize --model mini 'show free disk space'",
                        [tokenize](Client& client, Session& out) { return Tokenize(client, out, *tokenize); });
  AddOptions(command, tokenize);
}

}  // namespace tandem::cli
