#include "worker/core/step_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace bue::worker {
namespace {

namespace fs = std::filesystem;

constexpr int kThreads = 2;

std::string NameOf(const std::vector<File>& files) {
  std::string all;
  for (const File& file : files) {
    absl::StrAppend(&all, file.path, absl::string_view("\0", 1), file.sha256);
  }
  return absl::BytesToHexString(Sha256(all)).substr(0, 32);
}

absl::Status WriteFile(const std::string& path, const std::string& data) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (error) {
    return absl::InternalError(
        absl::StrCat("cannot make the folder of ", path, ": ", error.message()));
  }
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(data.data(), static_cast<std::streamsize>(data.size()));
  out.close();
  if (!out)
    return absl::InternalError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  return absl::OkStatus();
}

}  // namespace

std::string PlaceOf(const std::string& path) {
  std::vector<std::string> parts;
  if (absl::StartsWith(path, "/")) parts.push_back("__root__");
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (!parts.empty() && parts.back() != "__parent__" && parts.back() != "__root__") {
      parts.pop_back();
    } else {
      parts.push_back("__parent__");
    }
  }
  return absl::StrJoin(parts, "/");
}

StepFiles::StepFiles(std::string directory, HubQuestions* hub, std::shared_ptr<Inbox> inbox,
                     size_t unused_max)
    : root_(std::move(directory)),
      hub_(hub),
      inbox_(std::move(inbox)),
      unused_max_(unused_max),
      threads_(kThreads) {}

void StepFiles::Acquire(std::vector<File> files, Done done) {
  std::string directory = absl::StrCat(root_, "/", NameOf(files));
  const auto [place, is_new] = sets_.try_emplace(directory);
  Set& set = place->second;
  if (set.users++ == 0) {
    unused_.erase(std::remove(unused_.begin(), unused_.end(), directory), unused_.end());
  }
  if (set.ready) {
    done(std::move(directory));
    return;
  }
  set.waiting.push_back(std::move(done));
  if (!is_new) return;
  threads_.Post([this, files = std::move(files), directory = std::move(directory)] {
    const absl::Status status = Fetch(files, directory);
    inbox_->Post([this, directory, status] { OnFetched(directory, status); });
  });
}

void StepFiles::Release(const std::string& directory) {
  const auto found = sets_.find(directory);
  if (found == sets_.end() || --found->second.users > 0 || !found->second.ready) return;
  unused_.push_back(directory);
  DropUnused();
}

// On a thread of its own. Nobody sees a directory that is not complete.
absl::Status StepFiles::Fetch(const std::vector<File>& files, const std::string& directory) {
  const std::string unfinished = absl::StrCat(directory, ".part");
  std::error_code error;
  fs::remove_all(unfinished, error);
  fs::create_directories(unfinished, error);
  if (error) {
    return absl::InternalError(absl::StrCat("cannot make ", unfinished, ": ", error.message()));
  }
  for (const File& file : files) {
    absl::StatusOr<std::string> data = hub_->GetFile(file.sha256);
    if (!data.ok()) {
      return absl::Status(data.status().code(),
                          absl::StrCat("cannot fetch file ", file.path,
                                       " from the hub: ", data.status().message()));
    }
    RETURN_IF_ERROR(WriteFile(absl::StrCat(unfinished, "/", PlaceOf(file.path)), *data));
  }
  fs::rename(unfinished, directory, error);
  if (error) {
    return absl::InternalError(absl::StrCat("cannot make ", directory, ": ", error.message()));
  }
  return absl::OkStatus();
}

void StepFiles::OnFetched(const std::string& directory, const absl::Status& status) {
  const auto found = sets_.find(directory);
  std::vector<Done> waiting = std::move(found->second.waiting);
  if (status.ok()) {
    found->second.ready = true;
    if (found->second.users == 0) unused_.push_back(directory);
  } else {
    sets_.erase(found);  // The next Acquire tries again.
  }
  for (Done& done : waiting) {
    if (status.ok()) {
      done(directory);
    } else {
      done(status);
    }
  }
}

void StepFiles::DropUnused() {
  while (unused_.size() > unused_max_) {
    const std::string directory = std::move(unused_.front());
    unused_.pop_front();
    sets_.erase(directory);
    // A new name first: the same files may be wanted again at any moment.
    const std::string doomed = absl::StrCat(directory, ".old");
    std::error_code error;
    fs::rename(directory, doomed, error);
    threads_.Post([doomed] {
      std::error_code ignored;
      fs::remove_all(doomed, ignored);
    });
  }
}

}  // namespace bue::worker
