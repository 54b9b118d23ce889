// RETURN_IF_ERROR and ASSIGN_OR_RETURN, with upstream's names: Debian's Abseil has neither.
#ifndef BUE_COMMON_STATUS_MACROS_H_
#define BUE_COMMON_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define RETURN_IF_ERROR(expression)                                 \
  do {                                                              \
    if (absl::Status bue_status = (expression); !bue_status.ok()) { \
      return bue_status;                                            \
    }                                                               \
  } while (false)

#define BUE_CONCAT_INNER(a, b) a##b
#define BUE_CONCAT(a, b) BUE_CONCAT_INNER(a, b)

#define ASSIGN_OR_RETURN(declaration, expression) \
  BUE_ASSIGN_OR_RETURN(BUE_CONCAT(bue_status_or_, __LINE__), declaration, expression)
#define BUE_ASSIGN_OR_RETURN(temporary, declaration, expression) \
  auto temporary = (expression);                                 \
  if (!temporary.ok()) return std::move(temporary).status();     \
  declaration = *std::move(temporary)

#endif  // BUE_COMMON_STATUS_MACROS_H_
