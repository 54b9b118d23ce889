#include "cli/app.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/environment.h"
#include "common/lang/suggestion.h"

namespace bue::cli {
namespace {

constexpr char kAbout[] =
    "bue runs large amounts of I/O-heavy Python and SQL work, on one machine or many.\n";

constexpr char kStart[] =
    "Start here:\n"
    "  bue example                      write example.bue and example.py\n"
    "  bue run -f example.bue           run it, here and now, nothing else needed\n"
    "  bue demo                         a small cluster on this machine to play with\n"
    "\n"
    "A cluster: bue bucket, bue hub, and as many bue worker as you like; then\n"
    "  bue upload -f example.bue        prints the run, say r1\n"
    "  bue status r1 --watch\n"
    "  bue results r1 --json\n"
    "\n"
    "Every command explains itself: bue COMMAND --help\n"
    "Exit codes: 0 done, 1 the run or some of it failed, 2 refused, not found or unreachable.\n"
    "\n";

void AddCommands(CLI::App* app, Action* action) {
  AddRun(app, action);
  AddCheck(app, action);
  AddUpload(app, action);
  AddExample(app, action);
  AddStatus(app, action);
  AddWait(app, action);
  AddResults(app, action);
  AddErrors(app, action);
  AddLogs(app, action);
  AddGet(app, action);
  AddExplain(app, action);
  AddControl(app, action);
  AddLimit(app, action);
  AddHub(app, action);
  AddBucket(app, action);
  AddWorker(app, action);
  AddWorkers(app, action);
  AddDemo(app, action);
  AddToken(app, action);
}

// The subcommand that was typed, or the app itself.
const CLI::App* Chosen(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? &app : chosen.front();
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    names.push_back(command->get_name());
    for (const std::string& alias : command->get_aliases()) names.push_back(alias);
  }
  return names;
}

std::vector<std::string> OptionNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string NearestOf(const std::string& word, const std::vector<std::string>& known) {
  const std::vector<absl::string_view> views(known.begin(), known.end());
  return std::string(lang::Nearest(word, views));
}

// A word that may be given as an option, too, is required once and not twice: the line of usage
// says which words are.
class Help final : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    const std::string name = make_option_name(option, is_positional);
    std::stringstream text;
    if (is_positional) {
      CLI::detail::format_help(text, option->get_name(true), make_option_desc(option),
                               column_width_);
    } else if (option->get_positional()) {
      CLI::detail::format_help(text, absl::StrCat(name, " ", option->get_name(true)),
                               "The same, as an option", column_width_);
    } else {
      return Formatter::make_option(option, is_positional);
    }
    return text.str();
  }
};

// What to say about words that no command or option took.
std::string AboutUnknown(const CLI::App& app) {
  const std::vector<std::string> words = app.remaining(/*recurse=*/true);
  const std::string word = words.empty() ? "" : words.front();
  const CLI::App* const command = Chosen(app);
  const bool is_option = absl::StartsWith(word, "-");
  const std::string name = word.substr(0, word.find('='));
  std::string near;
  std::string message;
  if (is_option) {
    near = NearestOf(name, OptionNames(*command));
    message = absl::StrCat("unknown option ", name);
  } else if (command == &app) {
    near = NearestOf(word, CommandNames(app));
    message = absl::StrCat("unknown command '", word, "'");
  } else {
    message = absl::StrCat("one word too many: '", word, "'");
  }
  if (!near.empty()) absl::StrAppend(&message, "; did you mean ", near, "?");
  return message;
}

// What is missing, as the line of usage calls it.
std::string AboutMissing(const CLI::App& app, const CLI::RequiredError& error) {
  for (const CLI::Option* const option : Chosen(app)->get_options()) {
    if (option->get_required() && option->empty() && option->get_positional()) {
      return absl::StrCat(option->get_name(true), " is required");
    }
  }
  return error.what();
}

// "bue status" and "bue", for messages.
std::string Called(const CLI::App& app) {
  const CLI::App* const command = Chosen(app);
  return command == &app ? "bue" : absl::StrCat("bue ", command->get_name());
}

int Refuse(const CLI::App& app, const std::string& message) {
  const std::string called = Called(app);
  absl::FPrintF(stderr, "%s: error: %s\nSee %s --help\n", called, message, called);
  return kExitRefused;
}

int Parse(CLI::App* app, int argc, char** argv) {
  try {
    app->parse(argc, argv);
    return kExitOk;
  } catch (const CLI::CallForHelp& help) {
    app->exit(help);
    return -1;
  } catch (const CLI::CallForVersion& version) {
    app->exit(version);
    return -1;
  } catch (const CLI::ExtrasError&) {
    return Refuse(*app, AboutUnknown(*app));
  } catch (const CLI::RequiredError& error) {
    return Refuse(*app, AboutMissing(*app, error));
  } catch (const CLI::ParseError& error) {
    return Refuse(*app, error.what());
  }
}

int RunAction(const CLI::App& app, const Action& action) {
  absl::StatusOr<int> code = action();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    // What was printed may be all that somebody will know of a run.
    code = absl::DataLossError("cannot write to standard output");
  }
  if (code.ok()) return *code;
  absl::FPrintF(stderr, "%s: error: %s\n", Called(app), code.status().message());
  return kExitRefused;
}

}  // namespace

int Main(int argc, char** argv) {
  if (const absl::Status status = LoadEnvFile(); !status.ok()) {
    absl::FPrintF(stderr, "bue: error: %s\n", status.message());
    return kExitRefused;
  }
  CLI::App app(kAbout, "bue");
  app.formatter(std::make_shared<Help>());
  app.get_formatter()->column_width(36);
  app.set_version_flag("-v,--version", "bue " BUE_VERSION);
  app.footer([] { return absl::StrCat(kStart, EnvironmentHelp()); });
  app.require_subcommand(0, 1);
  Action action;
  AddCommands(&app, &action);
  // `bue help X` means `bue X --help`.
  std::vector<char*> words(argv, argv + argc);
  std::string help = "--help";
  if (argc > 1 && absl::string_view(argv[1]) == "help") {
    words.erase(words.begin() + 1);
    words.push_back(help.data());
  }
  const int parsed = Parse(&app, static_cast<int>(words.size()), words.data());
  if (parsed != kExitOk) return parsed < 0 ? kExitOk : parsed;
  if (action == nullptr) {
    std::cout << app.help();
    return kExitRefused;
  }
  return RunAction(app, action);
}

}  // namespace bue::cli
