// The one binary: every role and every client command. cli/app.cc puts them together.
#include "cli/app.h"
#include "common/rpc.h"

int main(int argc, char** argv) {
  bue::SetUpProcess();
  return bue::cli::Main(argc, argv);
}
