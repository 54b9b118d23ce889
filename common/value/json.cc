// See json.h.
// Stateless.
#include "common/value/json.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/value/extensions.h"
#include "common/value/reader.h"
#include "common/value/text.h"

namespace bue::value {
namespace {

constexpr absl::string_view kEllipsis = "\xe2\x80\xa6";

// Bytes of the UTF-8 sequence at the front of `text`; 0 if it is none. Surrogates count as valid
// and are told apart by the caller.
size_t SequenceLength(absl::string_view text) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  auto continues = [&](size_t count) {
    if (text.size() <= count) return false;
    for (size_t i = 1; i <= count; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return false;
    }
    return true;
  };
  const uint8_t head = byte(0);
  if (head < 0x80) return 1;
  if (head >= 0xc2 && head <= 0xdf) return continues(1) ? 2 : 0;
  if (head >= 0xe0 && head <= 0xef) {
    return continues(2) && !(head == 0xe0 && byte(1) < 0xa0) ? 3 : 0;
  }
  if (head >= 0xf0 && head <= 0xf4) {
    const bool valid =
        continues(3) && !(head == 0xf0 && byte(1) < 0x90) && !(head == 0xf4 && byte(1) > 0x8f);
    return valid ? 4 : 0;
  }
  return 0;
}

// ASCII that stands for itself in a JSON string.
bool IsPlain(char c) { return static_cast<signed char>(c) >= 0x20 && c != '"' && c != '\\'; }

void AppendEscaped(char c, std::string* out) {
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    default:
      constexpr char kHex[] = "0123456789abcdef";
      const uint8_t byte = static_cast<uint8_t>(c);
      out->append("\\u00");
      out->push_back(kHex[byte >> 4]);
      out->push_back(kHex[byte & 15]);
  }
}

void AppendSequence(absl::string_view sequence, std::string* out) {
  const uint8_t second = static_cast<uint8_t>(sequence[1]);
  if (sequence.size() == 3 && sequence[0] == '\xed' && second >= 0xa0) {
    const int unit = 0xd000 | (second & 0x3f) << 6 | (sequence[2] & 0x3f);
    absl::StrAppend(out, "\\u", absl::Hex(unit));
    return;
  }
  out->append(sequence.data(), sequence.size());
}

void AppendCharacters(absl::string_view text, std::string* out) {
  while (!text.empty()) {
    const size_t plain = std::find_if_not(text.begin(), text.end(), IsPlain) - text.begin();
    out->append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) return;
    const size_t length = SequenceLength(text);
    if (length > 1) {
      AppendSequence(text.substr(0, length), out);
    } else if (length == 1) {
      AppendEscaped(text[0], out);
    } else {
      out->append("\xef\xbf\xbd");
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
}

class Printer {
 public:
  Printer(const JsonOptions& options, std::string* out)
      : options_(options), out_(out), start_(out->size()) {}

  bool truncated() const { return truncated_; }

  absl::Status Value(Reader* reader, int depth);
  absl::Status Elements(Reader* reader);  // Until the reader's end.

 private:
  uint64_t BytesLeft() const {
    const uint64_t used = out_->size() - start_;
    return used < options_.bytes_max ? options_.bytes_max - used : 0;
  }
  absl::Status Scalar(const Token& token, int depth);
  absl::Status Extension(const Token& token, int depth);
  absl::Status Malformed(const Token& token) const;
  absl::Status Element(Reader* reader, bool first, int depth);
  absl::Status List(Reader* reader, uint64_t count, int depth);
  absl::Status Object(Reader* reader, uint32_t pairs, int depth);
  absl::Status Key(Reader* reader, int depth);
  absl::Status Nested(absl::string_view payload, int depth);
  bool OutOfRoom(bool first);
  void Text(absl::string_view text);
  void Bytes(absl::string_view bytes);
  void Number(double real);
  template <typename T>
  absl::Status Decoded(const Token& token, void (*append)(const T&, std::string*), bool quoted);

  const JsonOptions& options_;
  std::string* const out_;
  const size_t start_;
  bool truncated_ = false;
  // Keys hold no dicts: none can be hashed, and text in text in text doubles with each level.
  bool in_key_ = false;
};

absl::Status Printer::Value(Reader* reader, int depth) {
  Token token;
  if (!reader->Read(&token)) {
    RETURN_IF_ERROR(reader->status());
    return absl::InvalidArgumentError("broken MessagePack: the value is cut short");
  }
  if (token.type == Type::kArray) return List(reader, token.count, depth);
  if (token.type == Type::kMap) return Object(reader, token.count, depth);
  return Scalar(token, depth);
}

absl::Status CheckDepth(int depth) {
  if (depth < kDepthMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the value is nested deeper than ", kDepthMax, " levels"));
}

// Before an element: separates it from the one before; true if there is no room for it.
bool Printer::OutOfRoom(bool first) {
  if (!first) out_->append(", ");
  truncated_ = BytesLeft() == 0;
  return truncated_;
}

absl::Status Printer::Element(Reader* reader, bool first, int depth) {
  if (!OutOfRoom(first)) return Value(reader, depth);
  absl::StrAppend(out_, "\"", kEllipsis, "\"");
  return absl::OkStatus();
}

absl::Status Printer::List(Reader* reader, uint64_t count, int depth) {
  RETURN_IF_ERROR(CheckDepth(depth));
  out_->push_back('[');
  for (uint64_t i = 0; i < count && !truncated_; ++i) {
    RETURN_IF_ERROR(Element(reader, i == 0, depth + 1));
  }
  out_->push_back(']');
  return absl::OkStatus();
}

absl::Status Printer::Elements(Reader* reader) {
  out_->push_back('[');
  for (bool first = true; !reader->AtEnd() && !truncated_; first = false) {
    RETURN_IF_ERROR(Element(reader, first, 1));
  }
  out_->push_back(']');
  return absl::OkStatus();
}

absl::Status Printer::Object(Reader* reader, uint32_t pairs, int depth) {
  RETURN_IF_ERROR(CheckDepth(depth));
  if (in_key_) return absl::InvalidArgumentError("broken value: a dict within a dict's key");
  out_->push_back('{');
  for (uint32_t i = 0; i < pairs && !truncated_; ++i) {
    if (OutOfRoom(i == 0)) {
      absl::StrAppend(out_, "\"", kEllipsis, "\": null");
      break;
    }
    RETURN_IF_ERROR(Key(reader, depth + 1));
    out_->append(": ");
    RETURN_IF_ERROR(Value(reader, depth + 1));
  }
  out_->push_back('}');
  return absl::OkStatus();
}

absl::Status Printer::Key(Reader* reader, int depth) {
  const size_t start = out_->size();
  const bool was_truncated = truncated_;
  in_key_ = true;
  RETURN_IF_ERROR(Value(reader, depth));
  in_key_ = false;
  // A long key that was cut needs its value all the same; then the object ends.
  if (out_->size() > start && (*out_)[start] == '"') return absl::OkStatus();
  truncated_ = was_truncated;
  const std::string text = out_->substr(start);
  out_->resize(start);
  AppendJsonString(text, out_);
  return absl::OkStatus();
}

void Printer::Text(absl::string_view text) {
  out_->push_back('"');
  const uint64_t room = std::max<uint64_t>(BytesLeft(), 16);
  if (text.size() <= room) {
    AppendCharacters(text, out_);
  } else {
    size_t cut = room;
    while (cut > 0 && (text[cut] & 0xc0) == 0x80) --cut;
    AppendCharacters(text.substr(0, cut), out_);
    absl::StrAppend(out_, kEllipsis);
    truncated_ = true;
  }
  out_->push_back('"');
}

void Printer::Bytes(absl::string_view bytes) {
  const uint64_t room = std::max<uint64_t>(BytesLeft() / 4 * 3, 12);
  const bool cut = bytes.size() > room;
  absl::StrAppend(out_, "{\"$bytes\": \"", absl::Base64Escape(bytes.substr(0, room)),
                  cut ? kEllipsis : "", "\"}");
  truncated_ = truncated_ || cut;
}

void Printer::Number(double real) {
  if (std::isfinite(real)) {
    AppendDouble(real, out_);
  } else {
    out_->append("null");
  }
}

absl::Status Printer::Scalar(const Token& token, int depth) {
  switch (token.type) {
    case Type::kNil:
      out_->append("null");
      return absl::OkStatus();
    case Type::kBool:
      out_->append(token.boolean ? "true" : "false");
      return absl::OkStatus();
    case Type::kInt:
      absl::StrAppend(out_, token.integer);
      return absl::OkStatus();
    case Type::kUint:
      absl::StrAppend(out_, token.natural);
      return absl::OkStatus();
    case Type::kDouble:
      Number(token.real);
      return absl::OkStatus();
    case Type::kString:
      Text(token.bytes);
      return absl::OkStatus();
    case Type::kBytes:
      Bytes(token.bytes);
      return absl::OkStatus();
    case Type::kExt:
      return Extension(token, depth);
    case Type::kArray:
    case Type::kMap:
      break;
  }
  return absl::InternalError("a header is no scalar");
}

absl::Status Printer::Malformed(const Token& token) const {
  return absl::InvalidArgumentError(absl::StrCat("broken value: the payload of extension ",
                                                 token.ext, " is no ", ExtensionName(token.ext)));
}

template <typename T>
absl::Status Printer::Decoded(const Token& token, void (*append)(const T&, std::string*),
                              bool quoted) {
  T decoded;
  if (!Decode(token.bytes, &decoded)) return Malformed(token);
  if (quoted) out_->push_back('"');
  append(decoded, out_);
  if (quoted) out_->push_back('"');
  return absl::OkStatus();
}

absl::Status Printer::Nested(absl::string_view payload, int depth) {
  Reader reader(payload);
  return Value(&reader, depth + 1);
}

absl::Status Printer::Extension(const Token& token, int depth) {
  switch (static_cast<Ext>(token.ext)) {
    case Ext::kBigInt: {
      const bool quoted = token.bytes.size() > kBigIntTextBytesMax;
      if (quoted) out_->push_back('"');
      AppendBigInt(token.bytes, out_);
      if (quoted) out_->push_back('"');
      return absl::OkStatus();
    }
    case Ext::kDateTime:
      return Decoded<DateTime>(
          token, [](const DateTime& at, std::string* out) { AppendIso(at, 'T', out); }, true);
    case Ext::kDate:
      return Decoded<Date>(token, &AppendIso, true);
    case Ext::kTime:
      return Decoded<Time>(token, &AppendIso, true);
    case Ext::kTimeDelta:
      return Decoded<TimeDelta>(token, &AppendSeconds, false);
    case Ext::kDecimal:
      Text(token.bytes);
      return absl::OkStatus();
    case Ext::kUuid:
      if (token.bytes.size() != 16) return Malformed(token);
      out_->push_back('"');
      AppendUuid(token.bytes, out_);
      out_->push_back('"');
      return absl::OkStatus();
    case Ext::kSet:
    case Ext::kFrozenSet:
    case Ext::kTuple:
      RETURN_IF_ERROR(CheckDepth(depth));
      return Nested(token.bytes, depth);
    case Ext::kPickle:
      if (options_.refuse_pickles) {
        return absl::InvalidArgumentError(
            "it holds a pickled Python object, which only Python steps can read");
      }
      absl::StrAppend(out_, "{\"$pickle\": ", token.bytes.size(), "}");
      return absl::OkStatus();
  }
  absl::StrAppend(out_, "{\"$ext\": ", token.ext, ", \"bytes\": ", token.bytes.size(), "}");
  return absl::OkStatus();
}

}  // namespace

void AppendJsonString(absl::string_view text, std::string* out) {
  out->push_back('"');
  AppendCharacters(text, out);
  out->push_back('"');
}

absl::Status AppendJson(absl::string_view value, const JsonOptions& options, std::string* out,
                        JsonResult* result) {
  Reader reader(value);
  Printer printer(options, out);
  RETURN_IF_ERROR(printer.Value(&reader, 0));
  if (result != nullptr) result->truncated = printer.truncated();
  if (reader.AtEnd() || printer.truncated()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("broken value: ", reader.rest().size(), " bytes follow it"));
}

absl::Status AppendJsonOfElements(absl::string_view elements, const JsonOptions& options,
                                  std::string* out, JsonResult* result) {
  Reader reader(elements);
  Printer printer(options, out);
  RETURN_IF_ERROR(printer.Elements(&reader));
  if (result != nullptr) result->truncated = printer.truncated();
  return absl::OkStatus();
}

}  // namespace bue::value
