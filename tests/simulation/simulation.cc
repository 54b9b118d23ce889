#include "tests/simulation/simulation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/connection.h"
#include "tests/simulation/hub_process.h"
#include "tests/simulation/worker_process.h"

namespace bue::sim {
namespace {

// Simulated, once faults are off: longer than any wait for a retry, a poll or a timeout.
constexpr absl::Duration kStandsStill = absl::Minutes(5);
constexpr uint64_t kEventsMax = 5'000'000;

}  // namespace

// Every simulation has some faults and not others: those that always come together hide each other.
Config MakeConfig(uint64_t seed) {
  Random random(Mix(seed, 0xc0f1));
  Config config{.seed = seed};
  config.workers = 1 + static_cast<uint32_t>(random.Below(4));
  config.plans = 1 + static_cast<uint32_t>(random.Below(5));
  config.plan_size = {.tasks_max = 20 + random.Below(130), .range_max = 2 + random.Below(7)};
  const bool big = random.Chance(14);
  if (big) config.plan_size.big_percent = 60;
  config.faults_for = random.Between(absl::Seconds(5), absl::Seconds(40));
  const auto sometimes = [&](absl::Duration* mean) {
    if (random.Chance(45)) *mean = random.Between(absl::Milliseconds(800), absl::Seconds(12));
  };
  sometimes(&config.breaks);
  sometimes(&config.half_breaks);
  sometimes(&config.stalls);
  sometimes(&config.hub_crashes);
  sometimes(&config.hub_stalls);
  sometimes(&config.worker_kills);
  sometimes(&config.worker_leaves);
  sometimes(&config.worker_freezes);
  if (random.Chance(40)) config.crash_point_percent = random.Chance(50) ? 0.3 : 2;
  // What lies beyond a reservation is lost only in a long loop, and when the power goes.
  if (big) config.hub_crashes = random.Between(absl::Milliseconds(500), absl::Seconds(3));
  if (random.Chance(big ? 90 : 60)) config.power_cut_percent = random.Chance(50) ? 100 : 40;
  if (random.Chance(50)) config.rpc_loss_percent = random.Chance(50) ? 3 : 25;
  if (random.Chance(40)) config.give_back_percent = 4;
  if (random.Chance(60)) config.control_percent = 70;
  if (random.Chance(40))
    config.latency_max =
        random.Between(absl::Milliseconds(1), big ? absl::Milliseconds(20) : absl::Seconds(1));
  if (random.Chance(40))
    config.sync_max = random.Between(absl::Milliseconds(1), absl::Milliseconds(big ? 20 : 400));
  if (random.Chance(30)) config.clock_jump_max = absl::Seconds(20);
  config.scheduler.reserve_block = 2 + random.Below(9);
  config.scheduler.begun_items_max = random.Chance(30) && !big ? 1 + random.Below(5) : 65536;
  config.scheduler.source_window = 2 + random.Below(12);
  config.scheduler.losses_max = random.Chance(15) ? 3 : 1000;
  config.checkpoint_bytes = random.Chance(30) ? 1 << 20 : 100 + random.Below(3000);
  config.slow_checkpoints = random.Chance(50);
  config.check_every = 1 + random.Below(4);
  config.uploads_within = config.faults_for * 0.7;
  Random stops(Mix(seed, 0x73746f70));
  config.scheduler.stop_grace = stops.Between(absl::ZeroDuration(), absl::Seconds(10));
  config.scheduler.idle_values = stops.Below(4);
  // Drawn apart: who competes for slots does so at once, and waits for nothing else.
  Random crowds(Mix(seed, 0x63726f));
  if (!big && crowds.Chance(15)) {
    config.plans = 2 + static_cast<uint32_t>(crowds.Below(4));
    config.plan_size.crowd_percent = 80;
    config.uploads_within = absl::Seconds(1);
    config.scheduler.reserve_block = 4096;
    config.scheduler.begun_items_max = 65536;
    if (crowds.Chance(50)) config.hub_crashes = absl::InfiniteDuration();
  }
  return config;
}

Simulation::Simulation(uint64_t seed, TraceSink trace)
    : world_(MakeConfig(seed), std::move(trace)) {}

Simulation::~Simulation() = default;

std::string Simulation::Run() {
  const Config& config = world_.config;
  const absl::Time begin = world_.events.now();
  world_.StartHub();
  for (uint32_t i = 0; i < config.workers; ++i) world_.StartWorker(absl::StrCat("w", i));
  for (uint32_t i = 0; i < config.plans; ++i) {
    const std::string key = absl::StrCat("plan", i);
    const auto plan =
        std::make_shared<const Plan>(key, Mix(config.seed, 100 + i), config.plan_size);
    world_.plans[key] = plan;
    tasks_ += plan->expected().tasks;
    clients_.push_back(std::make_unique<Client>(&world_, plan));
    world_.events.After(world_.random.Between(absl::ZeroDuration(), config.uploads_within),
                        [client = clients_.back().get()] { client->Start(); });
  }
  ScheduleFaults();
  RunUntil(begin + config.faults_for, [] { return false; });
  EndFaults();
  PlayToTheEnd();
  if (!world_.history.failed() && !AllDone()) {
    std::string stuck = "not everything ended:";
    for (const auto& client : clients_) {
      if (!client->done()) absl::StrAppend(&stuck, "\n  ", client->Describe());
    }
    world_.history.Fail(stuck);
  }
  RunUntil(world_.events.now() + absl::Seconds(30), [] { return false; });
  if (!world_.history.failed()) CheckNothingIsLeft();
  return world_.history.failure();
}

uint64_t Simulation::Fingerprint() const {
  return Mix(Mix(world_.events.taken(), world_.bucket.objects().size()),
             static_cast<uint64_t>(absl::ToUnixMicros(world_.events.now())));
}

void Simulation::RunUntil(absl::Time end, const std::function<bool()>& done) {
  while (!world_.history.failed() && !done() && world_.events.RunOne(end)) {
    if (world_.events.taken() > kEventsMax) world_.history.Fail("it goes on and on");
  }
}

// However much there is to do: as long as outcomes come in, it does not stand still.
void Simulation::PlayToTheEnd() {
  uint64_t before = 0;
  do {
    before = world_.history.acknowledged();
    RunUntil(world_.events.now() + kStandsStill, [this] { return AllDone(); });
  } while (!AllDone() && !world_.history.failed() && world_.history.acknowledged() > before);
}

bool Simulation::AllDone() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& client) { return client->done(); });
}

// ------------------------------------------------------------------------------------- the faults

void Simulation::Every(absl::Duration mean, std::function<void()> fault) {
  if (mean == absl::InfiniteDuration()) return;
  world_.events.After(world_.random.Between(absl::ZeroDuration(), mean * 2),
                      [this, mean, fault = std::move(fault)] {
                        if (!world_.faults) return;
                        fault();
                        Every(mean, fault);
                      });
}

std::shared_ptr<Connection> Simulation::AnyConnection() {
  auto& all = world_.connections();
  return all.empty() ? nullptr : all[world_.random.Below(all.size())];
}

WorkerProcess* Simulation::AnyWorker() {
  std::vector<WorkerProcess*> alive;
  for (const auto& worker : world_.workers()) {
    if (!worker->dead() && !worker->leaving()) alive.push_back(worker.get());
  }
  return alive.empty() ? nullptr : alive[world_.random.Below(alive.size())];
}

void Simulation::ScheduleFaults() {
  const Config& config = world_.config;
  Random& random = world_.random;
  Every(config.breaks, [this] {
    if (const auto connection = AnyConnection()) {
      world_.Trace("a connection breaks");
      connection->Break();
    }
  });
  Every(config.half_breaks, [this, &random] {
    if (const auto connection = AnyConnection()) {
      const bool up = random.Chance(50);
      world_.Trace("a connection's way ", up ? "up" : "down", " is lost");
      connection->LoseDirection(up);
    }
  });
  Every(config.stalls, [this, &random] {
    if (const auto connection = AnyConnection()) {
      world_.Trace("a connection stalls");
      connection->Stall(random.Chance(50), random.Between(absl::ZeroDuration(), absl::Seconds(7)));
    }
  });
  Every(config.hub_crashes, [this, &config, &random] {
    const bool power = random.Chance(config.power_cut_percent);
    if (!power || random.Chance(30)) return world_.CrashHub(power);
    if (world_.hub != nullptr) world_.hub->CutPowerBeforeSync();
  });
  Every(config.hub_stalls, [this, &random] {
    if (world_.hub == nullptr) return;
    const absl::Duration time = random.Skewed(absl::Milliseconds(10), absl::Seconds(9));
    world_.Trace("hub stands still for ", absl::FormatDuration(time));
    world_.hub->Stall(time);
  });
  Every(config.worker_kills, [this, &random] {
    if (WorkerProcess* worker = AnyWorker()) {
      worker->Kill();
      Restart(worker, random.Skewed(absl::Milliseconds(50), absl::Seconds(8)));
    }
  });
  Every(config.worker_leaves, [this, &random] {
    if (WorkerProcess* worker = AnyWorker()) {
      worker->Leave();
      Restart(worker, random.Between(absl::Milliseconds(100), absl::Seconds(12)));
    }
  });
  Every(config.worker_freezes, [this, &random] {
    if (WorkerProcess* worker = AnyWorker()) {
      worker->Freeze(random.Between(absl::Milliseconds(10), absl::Seconds(12)));
    }
  });
}

// Once it is gone: one of that name at a time, also if it was killed while it was leaving.
void Simulation::Restart(WorkerProcess* worker, absl::Duration pause) {
  world_.events.After(pause, [this, worker] {
    if (!worker->dead()) return Restart(worker, absl::Milliseconds(500));
    const auto& all = world_.workers();
    const bool is_back = std::any_of(all.begin(), all.end(), [worker](const auto& other) {
      return other->name() == worker->name() && !other->dead();
    });
    if (!is_back) world_.StartWorker(worker->name());
  });
}

// Who is down comes back by what was planned. Streams that swallow what is said stay as they are:
// both ends must notice the silence.
void Simulation::EndFaults() {
  world_.Trace("faults end");
  world_.faults = false;
}

void Simulation::CheckNothingIsLeft() {
  if (world_.hub == nullptr) return world_.history.Fail("the hub is down at the end");
  world_.hub->scheduler()->CheckInvariants();
  world_.Ask(hub::QueryWorkers{}, [this](std::optional<hub::Reply> reply) {
    if (!reply.has_value()) return world_.history.Fail("the hub does not answer at the end");
    size_t alive = 0;
    for (const hub::WorkerStatus& worker : std::get<hub::WorkerList>(reply->body).workers) {
      alive += worker.alive ? 1 : 0;
      if (worker.running == 0) continue;
      world_.history.Fail(absl::StrCat("at the end ", worker.name, " holds ", worker.running,
                                       " leases: slots leaked"));
    }
    size_t there = 0;
    for (const auto& worker : world_.workers()) there += worker->dead() ? 0 : 1;
    if (alive != there) {
      world_.history.Fail(absl::StrCat("at the end the hub knows ", alive, " workers of ", there));
    }
  });
  world_.Ask(hub::QueryRuns{}, [this](std::optional<hub::Reply> reply) {
    if (!reply.has_value()) return world_.history.Fail("the hub does not answer at the end");
    std::set<std::string> names;
    for (const hub::RunStatus& run : std::get<hub::RunList>(reply->body).runs) {
      if (names.insert(run.name).second) continue;
      world_.history.Fail(absl::StrCat("the upload of ", run.name, " made two runs"));
    }
  });
  RunUntil(world_.events.now() + absl::Seconds(4), [] { return false; });
  for (const auto& worker : world_.workers()) {
    if (worker->dead()) continue;
    if (worker->session().quiet() && worker->session().unacknowledged() == 0) continue;
    world_.history.Fail(absl::StrCat("at the end ", worker->name(), " still has something"));
  }
}

}  // namespace bue::sim
