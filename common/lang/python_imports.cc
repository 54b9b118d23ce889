#include "common/lang/python_imports.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace bue::lang {
namespace {

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

// Reads Python token by token. A token is a name (also a keyword or a number), a single character,
// or
// "\n" where a statement ends; strings are the token "'".
class Tokens {
 public:
  explicit Tokens(absl::string_view code) : code_(code) { Advance(); }

  // Empty at the end.
  absl::string_view Current() const { return token_; }
  bool IsName() const { return !token_.empty() && IsNameCharacter(token_[0]); }

  void Advance() {
    SkipIgnored();
    const size_t begin = at_;
    if (at_ >= code_.size()) {
      token_ = {};
      return;
    }
    const char c = code_[at_];
    if (IsNameCharacter(c)) {
      while (at_ < code_.size() && IsNameCharacter(code_[at_])) ++at_;
    } else if (c == '\'' || c == '"') {
      SkipString(c);
      token_ = "'";
      return;
    } else {
      ++at_;
      if (c == '(' || c == '[' || c == '{') ++depth_;
      if ((c == ')' || c == ']' || c == '}') && depth_ > 0) --depth_;
    }
    token_ = code_.substr(begin, at_ - begin);
  }

 private:
  // Blanks, comments, joined lines, and line ends in brackets.
  void SkipIgnored() {
    while (at_ < code_.size()) {
      const char c = code_[at_];
      if (c == '#') {
        at_ = std::min(code_.find('\n', at_), code_.size());
      } else if (c == '\\') {
        at_ = std::min(code_.find('\n', at_), code_.size() - 1) + 1;
      } else if ((c == '\n' && depth_ == 0) || !absl::ascii_isspace(c)) {
        return;
      } else {
        ++at_;
      }
    }
  }

  // From the quote that begins a string to behind the one that ends it. A short string that is
  // never closed ends with its line.
  void SkipString(char quote) {
    const std::string triple(3, quote);
    const bool is_long = absl::StartsWith(code_.substr(at_), triple);
    at_ += is_long ? 3 : 1;
    while (at_ < code_.size()) {
      if (code_[at_] == '\\') {
        at_ = std::min(at_ + 2, code_.size());
      } else if (is_long && absl::StartsWith(code_.substr(at_), triple)) {
        at_ += 3;
        return;
      } else if (!is_long && (code_[at_] == quote || code_[at_] == '\n')) {
        at_ += code_[at_] == quote;
        return;
      } else {
        ++at_;
      }
    }
  }

  const absl::string_view code_;
  size_t at_ = 0;
  int depth_ = 0;  // Of brackets.
  absl::string_view token_;
};

// `a.b.c`; empty if no name stands there.
std::vector<std::string> TakeDottedName(Tokens* tokens) {
  std::vector<std::string> parts;
  while (tokens->IsName()) {
    parts.emplace_back(tokens->Current());
    tokens->Advance();
    if (tokens->Current() != ".") break;
    tokens->Advance();
  }
  return parts;
}

void SkipAlias(Tokens* tokens) {
  if (tokens->Current() != "as") return;
  tokens->Advance();
  if (tokens->IsName()) tokens->Advance();
}

// Behind `import`: `a.b as c, d`.
void TakeModules(Tokens* tokens, std::vector<PythonImport>* found) {
  while (true) {
    std::vector<std::string> module = TakeDottedName(tokens);
    if (!module.empty()) found->push_back(PythonImport{.module = std::move(module)});
    SkipAlias(tokens);
    if (tokens->Current() != ",") return;
    tokens->Advance();
  }
}

// Behind `from`: `..a.b import x as y, z`.
void TakeFrom(Tokens* tokens, std::vector<PythonImport>* found) {
  PythonImport import;
  for (; tokens->Current() == "."; tokens->Advance()) ++import.dots;
  // In `from . import x` the keyword is no module.
  if (tokens->Current() != "import") import.module = TakeDottedName(tokens);
  if (tokens->Current() != "import") return;
  tokens->Advance();
  if (tokens->Current() == "(") tokens->Advance();
  while (tokens->IsName()) {
    import.names.emplace_back(tokens->Current());
    tokens->Advance();
    SkipAlias(tokens);
    if (tokens->Current() != ",") break;
    tokens->Advance();
  }
  found->push_back(std::move(import));
}

}  // namespace

std::vector<PythonImport> FindPythonImports(absl::string_view code) {
  std::vector<PythonImport> found;
  Tokens tokens(code);
  bool at_statement = true;
  while (!tokens.Current().empty()) {
    const absl::string_view token = tokens.Current();
    tokens.Advance();
    if (at_statement && token == "import") {
      TakeModules(&tokens, &found);
    } else if (at_statement && token == "from") {
      TakeFrom(&tokens, &found);
    }
    at_statement = token == "\n" || token == ";" || token == ":";
  }
  return found;
}

}  // namespace bue::lang
