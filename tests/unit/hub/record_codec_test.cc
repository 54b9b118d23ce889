#include "hub/storage/record_codec.h"

#include <gtest/gtest.h>

#include <random>

#include "common/varint.h"

namespace bue::hub {
namespace {

Change Succeeded(uint64_t item, uint64_t address) {
  return {.kind = Change::Kind::kSucceeded, .node = 3, .run = 7, .item = item, .a = address};
}

std::vector<Change> Consecutive(size_t count) {
  std::vector<Change> changes;
  for (size_t i = 0; i < count; ++i) {
    changes.push_back(Succeeded(1000 + i, (uint64_t{5} << 48) + 90000 + i));
  }
  return changes;
}

std::vector<Change> Random(size_t count, std::mt19937_64& random) {
  std::vector<Change> changes;
  for (size_t i = 0; i < count; ++i) {
    const auto any = [&] { return random() >> (random() % 64); };
    changes.push_back({.kind = static_cast<Change::Kind>(1 + random() % 10),
                       .node = static_cast<uint32_t>(any()),
                       .run = any(),
                       .instance = any(),
                       .item = any(),
                       .a = any(),
                       .b = any(),
                       .c = static_cast<int64_t>(any())});
  }
  return changes;
}

std::vector<Change> RoundTrip(const std::vector<Change>& changes) {
  std::string bytes;
  EncodeChanges(changes, &bytes);
  std::vector<Change> decoded;
  const absl::Status status = DecodeChanges(bytes, &decoded);
  EXPECT_TRUE(status.ok()) << status;
  return decoded;
}

TEST(RecordCodecTest, ChangesComeBackAsTheyWere) {
  std::mt19937_64 random(1);
  EXPECT_EQ(RoundTrip({}), std::vector<Change>());
  for (size_t count = 1; count < 200; ++count) {
    const std::vector<Change> changes = Random(count, random);
    EXPECT_EQ(RoundTrip(changes), changes);
  }
  EXPECT_EQ(RoundTrip(Consecutive(5000)), Consecutive(5000));
}

TEST(RecordCodecTest, DecodingAppends) {
  std::string bytes;
  EncodeChanges(Consecutive(2), &bytes);
  std::vector<Change> decoded = Consecutive(1);
  ASSERT_TRUE(DecodeChanges(bytes, &decoded).ok());
  EXPECT_EQ(decoded.size(), 3u);
}

TEST(RecordCodecTest, ConsecutiveSuccessesTakeAFewBytesInAll) {
  std::string bytes;
  EncodeChanges(Consecutive(1000), &bytes);
  EXPECT_LT(bytes.size(), 60u);
}

TEST(RecordCodecTest, ScatteredSuccessesTakeAFewBytesEach) {
  std::vector<Change> changes;
  std::mt19937_64 random(2);
  for (size_t i = 0; i < 1000; ++i) changes.push_back(Succeeded(random() % 5000, random() % 9000));
  std::string bytes;
  EncodeChanges(changes, &bytes);
  EXPECT_LT(bytes.size(), 5000u);
}

TEST(RecordCodecTest, MutatedChangesNeverCrash) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes;
    EncodeChanges(round % 2 ? Random(random() % 20, random) : Consecutive(random() % 300), &bytes);
    for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
      if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
      if (!bytes.empty()) bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    std::vector<Change> decoded;
    const absl::Status status = DecodeChanges(bytes, &decoded);
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kDataLoss) << status;
  }
}

TEST(RecordCodecTest, CutOffChangesAreDataLoss) {
  std::string bytes;
  EncodeChanges(Consecutive(10), &bytes);
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::vector<Change> decoded;
    EXPECT_EQ(DecodeChanges(absl::string_view(bytes).substr(0, size), &decoded).code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST(RecordCodecTest, AnotherVersionIsNamed) {
  std::vector<Change> decoded;
  const absl::Status status = DecodeChanges("\x09", &decoded);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.ToString().find("format 9"), std::string::npos) << status;
}

TEST(RecordCodecTest, RunsComeBackAsTheyWere) {
  const RunAdded run{.run = 17,
                     .key = "k",
                     .name = "etl.bue",
                     .weight = 3,
                     .added = absl::FromUnixMicros(1700000000123456),
                     .program = std::string("a\0b", 3)};
  const absl::StatusOr<RunAdded> decoded = DecodeRun(EncodeRun(run));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->run, run.run);
  EXPECT_EQ(decoded->key, run.key);
  EXPECT_EQ(decoded->name, run.name);
  EXPECT_EQ(decoded->weight, run.weight);
  EXPECT_EQ(decoded->added, run.added);
  EXPECT_EQ(decoded->program, run.program);
  EXPECT_FALSE(DecodeRun(EncodeRun(run) + "x").ok());
  EXPECT_FALSE(DecodeRun("").ok());
}

TEST(RecordCodecTest, ErrorsAndLogsComeBackAsTheyWere) {
  const ErrorRecord error{.run = 4,
                          .step = "load",
                          .item = "4.17",
                          .attempt = 2,
                          .action = "run",
                          .worker = "w1",
                          .type = "KeyError",
                          .message = "'x'",
                          .traceback = "…",
                          .at = absl::FromUnixMicros(5),
                          .final = true};
  const absl::StatusOr<std::vector<ErrorRecord>> errors = DecodeErrors(4, EncodeErrors({&error}));
  ASSERT_TRUE(errors.ok());
  ASSERT_EQ(errors->size(), 1u);
  EXPECT_EQ(errors->front().run, 4u);
  EXPECT_EQ(errors->front().item, "4.17");
  EXPECT_EQ(errors->front().traceback, "…");
  EXPECT_EQ(errors->front().at, error.at);
  EXPECT_TRUE(errors->front().final);

  const LogAdded log{.run = 4, .address = 99, .step = "load", .item = "1", .attempt = 1};
  const absl::StatusOr<std::vector<LogAdded>> logs = DecodeLogs(4, EncodeLogs({&log, &log}));
  ASSERT_TRUE(logs.ok());
  ASSERT_EQ(logs->size(), 2u);
  EXPECT_EQ(logs->back().address, 99u);
}

TaskInputs Inputs() {
  return {.shown = {{.kind = TaskInput::Kind::kValues, .from = "fetch", .address = UINT64_MAX},
                    {.kind = TaskInput::Kind::kValues, .from = "fetch"},
                    {.kind = TaskInput::Kind::kElements,
                     .from = "accounts",
                     .address = 1,
                     .first = UINT64_MAX,
                     .count = UINT32_MAX},
                    {.kind = TaskInput::Kind::kRange, .first = 7},
                    {.kind = TaskInput::Kind::kFanIn,
                     .from = "total",
                     .instance = UINT64_MAX,
                     .node = UINT32_MAX}},
          .others = 1000};
}

TEST(RecordCodecTest, InputsOfErrorsComeBackAsTheyWere) {
  const ErrorRecord some{.step = "load", .inputs = Inputs()};
  const ErrorRecord none{.step = "first", .inputs = TaskInputs()};
  const ErrorRecord unknown{.step = "hook"};
  const absl::StatusOr<std::vector<ErrorRecord>> errors =
      DecodeErrors(4, EncodeErrors({&some, &none, &unknown, &some}));
  ASSERT_TRUE(errors.ok());
  ASSERT_EQ(errors->size(), 4u);
  EXPECT_EQ((*errors)[0].inputs, some.inputs);
  EXPECT_EQ((*errors)[1].inputs, none.inputs);
  EXPECT_EQ((*errors)[2].inputs, std::nullopt);
  EXPECT_EQ((*errors)[3].inputs, some.inputs);
}

// As rows were written before records had inputs.
TEST(RecordCodecTest, ErrorsOfTheFirstFormatHaveNoInputs) {
  std::string row;
  PutVarint(1, &row);
  PutVarint(2, &row);
  for (const uint64_t pass_and_final : {5, 0}) {
    PutBytes("load", &row);
    PutBytes("4.17", &row);
    PutVarint(3, &row);
    for (const char* text : {"run", "w1", "KeyError", "'x'", "trace"}) PutBytes(text, &row);
    PutVarint(ZigZag(-9), &row);
    PutVarint(pass_and_final, &row);
  }
  const absl::StatusOr<std::vector<ErrorRecord>> errors = DecodeErrors(4, row);
  ASSERT_TRUE(errors.ok()) << errors.status().ToString();
  ASSERT_EQ(errors->size(), 2u);
  for (const ErrorRecord& error : *errors) {
    EXPECT_EQ(error.run, 4u);
    EXPECT_EQ(error.item, "4.17");
    EXPECT_EQ(error.attempt, 3u);
    EXPECT_EQ(error.traceback, "trace");
    EXPECT_EQ(error.at, absl::FromUnixMicros(-9));
    EXPECT_EQ(error.inputs, std::nullopt);
  }
  EXPECT_EQ((*errors)[0].pass, 2u);
  EXPECT_TRUE((*errors)[0].final);
}

TEST(RecordCodecTest, ErrorsOfALaterFormatAreRefused) {
  std::string row = EncodeErrors({});
  row[0] = 3;
  const absl::Status status = DecodeErrors(4, row).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("format 3; this hub reads 1 to 2"), absl::string_view::npos);
}

TEST(RecordCodecTest, MutatedColdRowsNeverCrash) {
  std::mt19937_64 random(4);
  const ErrorRecord error{.step = "load", .message = "m", .inputs = Inputs()};
  const std::vector<std::string> rows = {EncodeRun({.run = 1, .name = "n", .program = "p"}),
                                         EncodeErrors({&error, &error}), EncodeNames({"a", "b"})};
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = rows[round % rows.size()];
    bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % (bytes.size() + 3));
    (void)DecodeRun(bytes);
    (void)DecodeErrors(1, bytes);
    (void)DecodeLogs(1, bytes);
    (void)DecodeNames(bytes);
  }
}

}  // namespace
}  // namespace bue::hub
