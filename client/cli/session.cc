#include "client/cli/session.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/cli/format.h"

namespace tandem::cli {
namespace {

int TerminalWidth(int descriptor) {
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void WriteLine(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (text.empty() || text.back() != '\n') std::fputc('\n', stdout);
}

}  // namespace

std::string Examples(const std::string& lines) {
  std::string result = "Example:";
  for (absl::string_view line : absl::StrSplit(lines, '\n')) absl::StrAppend(&result, "\n  ", line);
  return result;
}

CLI::App* Session::Add(CLI::App& parent, const std::string& name, const std::string& description,
                       const std::string& examples, Command command) {
  CLI::App* leaf = parent.add_subcommand(name, description);
  leaf->footer(Examples(examples));
  leaf->callback([this, command = std::move(command)] { chosen_ = command; });
  return leaf;
}

CLI::App* Session::AddNoun(CLI::App& app, const std::string& name, const std::string& description,
                           const std::string& examples) {
  CLI::App* noun = app.add_subcommand(name, description);
  noun->require_subcommand(1);
  noun->footer(Examples(examples));
  return noun;
}

absl::Status Session::Run() {
  ConnectionOptions options;
  options.deadline = absl::Seconds(timeout_s);
  absl::StatusOr<Client> client = Client::Connect(address, options);
  if (!client.ok()) return client.status();
  return chosen_(*client, *this);
}

void Session::Print(const google::protobuf::Message& message, const std::string& people) {
  WriteLine(json ? ToJson(message) : people);
}

void Session::PrintTable(const Table& table) { WriteLine(table.Render(isatty(1) ? TerminalWidth(1) : 0)); }

void Session::PrintLine(const std::string& line) { WriteLine(line); }

void Session::Say(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

bool Session::interactive() const {
  const char* term = std::getenv("TERM");
  return isatty(2) && term != nullptr && std::string(term) != "dumb";
}

ProgressOutput Session::progress_output() const {
  return ProgressOutput{.file = stderr, .interactive = interactive(), .width = [] { return TerminalWidth(2); }};
}

}  // namespace tandem::cli
