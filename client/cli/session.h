#pragma once
// One run of the command line: global options, the client, where output goes, and the command that was chosen.

#include <functional>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "client/cli/progress_bar.h"
#include "client/cli/table.h"
#include "client/client.h"
#include "google/protobuf/message.h"

namespace tandem::cli {

class Session {
 public:
  // What a command does. An error is printed, and the program's exit code is 1.
  using Command = std::function<absl::Status(Client&, Session&)>;

  // Global options, bound to the fields by main.
  std::string address = "127.0.0.1:7700";
  bool json = false;
  double timeout_s = 60;

  // Adds a leaf command below `parent`. `examples` ends its --help.
  CLI::App* Add(CLI::App& parent, const std::string& name, const std::string& description, const std::string& examples,
                Command command);

  // Adds a noun, the parent of commands, to `app`.
  static CLI::App* AddNoun(CLI::App& app, const std::string& name, const std::string& description,
                           const std::string& examples);

  // Runs the command that the parser chose.
  absl::Status Run();

  // Standard output: one line of JSON with --json, else `people`.
  void Print(const google::protobuf::Message& message, const std::string& people);
  void PrintTable(const Table& table);
  void PrintLine(const std::string& line);  // As it is.

  // Standard error, for people: not part of the result.
  void Say(const std::string& line);

  ProgressOutput progress_output() const;
  bool interactive() const;  // Progress is seen by a person.

 private:
  Command chosen_;
};

// "Example:" and the lines, indented.
std::string Examples(const std::string& lines);

}  // namespace tandem::cli
