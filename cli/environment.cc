#include "cli/environment.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace bue::cli {
namespace {

constexpr size_t kEnvFileBytesMax = 1 << 20;

bool IsName(absl::string_view text) {
  if (text.empty() || absl::ascii_isdigit(text[0])) return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(c) && c != '_') return false;
  }
  return true;
}

absl::Status NotAnAssignment() { return absl::InvalidArgumentError("not of the form NAME=VALUE"); }

// The text between quotes; what follows must be blank or a comment.
absl::StatusOr<std::string> Unquote(absl::string_view text) {
  const char quote = text[0];
  std::string value;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == quote) {
      const absl::string_view rest = absl::StripLeadingAsciiWhitespace(text.substr(i + 1));
      if (!rest.empty() && rest[0] != '#') return NotAnAssignment();
      return value;
    }
    if (quote == '"' && text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      value.push_back(text[i] == 'n' ? '\n' : text[i]);
    } else {
      value.push_back(text[i]);
    }
  }
  return absl::InvalidArgumentError("a quote is not closed");
}

// A bare value ends at a `#` with a blank before it.
std::string Bare(absl::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '#' && (i == 0 || absl::ascii_isspace(text[i - 1]))) {
      text = text.substr(0, i);
      break;
    }
  }
  return std::string(absl::StripAsciiWhitespace(text));
}

std::string HostPort(const char* host_name, const char* port_name, const char* port_default) {
  std::string host = FromEnvironment(host_name);
  std::string port = FromEnvironment(port_name);
  if (host.empty()) host = "localhost";
  if (port.empty()) port = port_default;
  return absl::StrCat(host, ":", port);
}

void ApplyEnvText(absl::string_view path, absl::string_view text) {
  text = absl::StripPrefix(text, "\xef\xbb\xbf");
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::StatusOr<Assignment> assignment = ParseEnvLine(line);
    if (!assignment.ok()) {
      absl::FPrintF(stderr, "bue: %s:%d: warning: %s; the line is left out\n", path, number,
                    assignment.status().message());
    } else if (!assignment->name.empty()) {
      setenv(assignment->name.c_str(), assignment->value.c_str(), /*overwrite=*/0);
    }
  }
}

}  // namespace

const std::vector<EnvironmentName>& EnvironmentTable() {
  static const auto* const table = new std::vector<EnvironmentName>{
      {"ENV_PATH", "file of NAME=VALUE lines to read instead of ./.env; never overrides"},
      {"BUE_TOKEN", "the cluster token (as --token-file FILE, but its text)"},
      {"PIPE_WORKER_HOST", "where clients and workers find the hub (localhost)"},
      {"PIPE_WORKER_PORT", "… and its port (65432)"},
      {"PIPE_WORKER_SCOPES", "scopes of `bue worker`, comma-separated, most wanted first"},
      {"PIPELINE_HOST", "where `bue hub` listens (localhost)"},
      {"PIPELINE_PORT", "… and its port (65432)"},
      {"BUCKET_SERVER_HOST", "where `bue bucket` listens (localhost)"},
      {"BUCKET_SERVER_PORT", "… and its port (61535)"},
      {"BUCKET_CLIENT_HOST", "the bucket that `bue hub` names to workers and clients (localhost)"},
      {"BUCKET_CLIENT_PORT", "… and its port (61535)"},
      {"N_WORKER_PROCESSES", "process slots of `bue worker` (one per core)"},
      {"REVERSE_PRIORITY", "true: `bue worker --reverse`"},
      {"POSTGRES_HOST", "the workers' server for postgres steps (localhost)"},
      {"POSTGRES_PORT", "… its port (5432)"},
      {"POSTGRES_USER", "… its user"},
      {"POSTGRES_PASSWORD", "… its password"},
      {"POSTGRES_DATABASE", "… its database"},
      {"NO_COLOR", "set: no colours on terminals"},
  };
  return *table;
}

std::string EnvironmentHelp() {
  std::string text = "Environment (and ./.env; options win over both):\n";
  for (const EnvironmentName& entry : EnvironmentTable()) {
    absl::StrAppendFormat(&text, "  %-20s %s\n", entry.name, entry.meaning);
  }
  return text;
}

absl::StatusOr<Assignment> ParseEnvLine(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  if (line.empty() || line[0] == '#') return Assignment{};
  if (absl::StartsWith(line, "export ")) line = absl::StripLeadingAsciiWhitespace(line.substr(7));
  const size_t equals = line.find('=');
  if (equals == absl::string_view::npos) return NotAnAssignment();
  const absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, equals));
  if (!IsName(name)) return NotAnAssignment();
  const absl::string_view rest = absl::StripLeadingAsciiWhitespace(line.substr(equals + 1));
  if (rest.empty() || (rest[0] != '"' && rest[0] != '\'')) {
    return Assignment{std::string(name), Bare(rest)};
  }
  absl::StatusOr<std::string> value = Unquote(rest);
  if (!value.ok()) return value.status();
  return Assignment{std::string(name), *std::move(value)};
}

absl::Status LoadEnvFile() {
  const std::string named = FromEnvironment("ENV_PATH");
  const std::string path = named.empty() ? ".env" : named;
  struct stat entry;
  const bool is_file = stat(path.c_str(), &entry) == 0 && S_ISREG(entry.st_mode);
  if (!is_file && named.empty())
    return absl::OkStatus();  // None, or a virtual environment's folder.
  std::ifstream file(path, std::ios::binary);
  if (!is_file || !file) {
    return absl::NotFoundError(
        absl::StrCat("ENV_PATH names '", path, "', which is not a readable file"));
  }
  if (static_cast<size_t>(entry.st_size) > kEnvFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is larger than 1 MiB"));
  }
  ApplyEnvText(path, std::string(std::istreambuf_iterator<char>(file), {}));
  return absl::OkStatus();
}

std::string FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool FlagFromEnvironment(const char* name) {
  const std::string value = absl::AsciiStrToLower(FromEnvironment(name));
  return value == "1" || value == "true" || value == "yes" || value == "on";
}

std::string HubToConnect() { return HostPort("PIPE_WORKER_HOST", "PIPE_WORKER_PORT", kHubPort); }
std::string HubToBind() { return HostPort("PIPELINE_HOST", "PIPELINE_PORT", kHubPort); }
std::string BucketToConnect() {
  return HostPort("BUCKET_CLIENT_HOST", "BUCKET_CLIENT_PORT", kBucketPort);
}
std::string BucketToBind() {
  return HostPort("BUCKET_SERVER_HOST", "BUCKET_SERVER_PORT", kBucketPort);
}

}  // namespace bue::cli
