// The example that `bue example` writes: cli/examples/example.bue and example.py, byte for byte.
#ifndef BUE_CLI_EXAMPLE_TEXT_H_
#define BUE_CLI_EXAMPLE_TEXT_H_

namespace bue::cli {

extern const char kExampleScript[];
extern const char kExampleSteps[];

}  // namespace bue::cli

#endif  // BUE_CLI_EXAMPLE_TEXT_H_
