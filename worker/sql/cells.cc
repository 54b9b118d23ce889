// See cells.h.
// Stateless.
#include "worker/sql/cells.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/value/extensions.h"
#include "common/value/json.h"
#include "common/value/text.h"

namespace bue::worker {
namespace {

using value::Ext;
using value::Token;
using value::Type;

// Every int up to this, either way, is a double.
constexpr int64_t kExactInDouble = int64_t{1} << 53;

template <typename T>
uint32_t IfDecodes(const Token& token, uint32_t kind) {
  T decoded;
  return value::Decode(token.bytes, &decoded) ? kind : 0;
}

uint32_t KindOfExtension(const Token& token) {
  switch (static_cast<Ext>(token.ext)) {
    case Ext::kBigInt:
      return kBigIntCell;
    case Ext::kDateTime: {
      value::DateTime at;
      if (!value::Decode(token.bytes, &at)) return 0;
      return at.time.aware ? kAwareDateTimeCell : kNaiveDateTimeCell;
    }
    case Ext::kDate:
      return IfDecodes<value::Date>(token, kDateCell);
    case Ext::kTime: {
      value::Time time;
      if (!value::Decode(token.bytes, &time)) return 0;
      return time.aware ? kAwareTimeCell : kNaiveTimeCell;
    }
    case Ext::kTimeDelta:
      return IfDecodes<value::TimeDelta>(token, kTimeDeltaCell);
    case Ext::kDecimal:
      return kDecimalCell;
    case Ext::kUuid:
      return token.bytes.size() == 16 ? uint32_t{kUuidCell} : 0;
    case Ext::kSet:
    case Ext::kFrozenSet:
    case Ext::kTuple:
      return kJsonCell;
    case Ext::kPickle:
      return kForeignCell;
  }
  return kForeignCell;
}

template <typename T>
T Decoded(const Token& token) {
  T decoded;
  CHECK(value::Decode(token.bytes, &decoded));  // KindOf has looked.
  return decoded;
}

absl::Status AppendExtensionText(const Cell& cell, std::string* out) {
  const Token& token = cell.token;
  switch (static_cast<Ext>(token.ext)) {
    case Ext::kBigInt:
      value::AppendBigInt(token.bytes, out);
      return absl::OkStatus();
    case Ext::kDateTime:
      value::AppendIso(Decoded<value::DateTime>(token), ' ', out);
      return absl::OkStatus();
    case Ext::kDate:
      value::AppendIso(Decoded<value::Date>(token), out);
      return absl::OkStatus();
    case Ext::kTime:
      value::AppendIso(Decoded<value::Time>(token), out);
      return absl::OkStatus();
    case Ext::kTimeDelta:
      value::AppendSeconds(Decoded<value::TimeDelta>(token), out);
      return absl::OkStatus();
    case Ext::kDecimal:
      out->append(token.bytes.data(), token.bytes.size());
      return absl::OkStatus();
    case Ext::kUuid:
      value::AppendUuid(token.bytes, out);
      return absl::OkStatus();
    case Ext::kSet:
    case Ext::kFrozenSet:
    case Ext::kTuple:
      return value::AppendJson(cell.packed, {.refuse_pickles = true}, out);
    case Ext::kPickle:
      return absl::InvalidArgumentError(
          "it holds a pickled Python object, which only Python steps can read");
  }
  return absl::InvalidArgumentError(absl::StrCat("it holds an unknown extension ", token.ext));
}

}  // namespace

uint32_t KindOf(const Token& token) {
  switch (token.type) {
    case Type::kNil:
      return kNullCell;
    case Type::kBool:
      return kBoolCell;
    case Type::kInt:
      return -kExactInDouble <= token.integer && token.integer <= kExactInDouble ? kIntCell
                                                                                 : kWideIntCell;
    case Type::kUint:
      return kBigIntCell;
    case Type::kDouble:
      return kFloatCell;
    case Type::kString:
      return kTextCell;
    case Type::kBytes:
      return kBytesCell;
    case Type::kArray:
    case Type::kMap:
      return kJsonCell;
    case Type::kExt:
      return KindOfExtension(token);
  }
  return kForeignCell;
}

absl::Status AppendCellText(const Cell& cell, std::string* out) {
  const Token& token = cell.token;
  switch (token.type) {
    case Type::kNil:
      return absl::OkStatus();
    case Type::kBool:
      out->append(token.boolean ? "True" : "False");
      return absl::OkStatus();
    case Type::kInt:
      absl::StrAppend(out, token.integer);
      return absl::OkStatus();
    case Type::kUint:
      absl::StrAppend(out, token.natural);
      return absl::OkStatus();
    case Type::kDouble:
      value::AppendDouble(token.real, out);
      return absl::OkStatus();
    case Type::kString:
      out->append(token.bytes.data(), token.bytes.size());
      return absl::OkStatus();
    case Type::kBytes:
      absl::StrAppend(out, "\\x", absl::BytesToHexString(token.bytes));
      return absl::OkStatus();
    case Type::kArray:
    case Type::kMap:
      return value::AppendJson(cell.packed, {.refuse_pickles = true}, out);
    case Type::kExt:
      return AppendExtensionText(cell, out);
  }
  return absl::OkStatus();
}

}  // namespace bue::worker
