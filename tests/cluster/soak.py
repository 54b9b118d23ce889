#!/usr/bin/env python3
"""soak.py BUE [--minutes N] [--seed S]: full load for a long time, with faults all the while; every run
is judged. Prints a line every ten seconds, and at the end for each role how its memory grew, and how
throughput and the time of a single small run drifted from the first quarter to the last.

Workers but the first are killed, everything is stopped and continued at random, hub and bucket are
killed in the first tenth only: so that there is one process of each role to look at for the rest.
"""
import argparse
import os
import random
import statistics
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLE_S = 10


def parse():
    parser = argparse.ArgumentParser(prog='soak.py', description=__doc__)
    parser.add_argument('bue')
    parser.add_argument('--minutes', type=float, default=20)
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    parser.add_argument('--items', type=int, default=5000)
    parser.add_argument('--fault-every', type=float, default=20, metavar='SECONDS')
    return parser.parse_args()


class Soak:
    def __init__(self, turmoil, workload, options):
        self.turmoil_module = turmoil
        self.kinds = workload.KINDS + workload.SMALL_KINDS
        self.options = options
        self.cluster = turmoil.new_cluster()
        self.chaos = turmoil.Turmoil(self.cluster, random.Random(options.seed),
                                     items=options.items, nap=0.002, noted=False)
        self.samples = []  # (seconds, tasks done, probe in s, {role: bytes}, {role: pid})
        self.faults = 0

    def run(self):
        self.chaos.start()
        self.probe_script = self.cluster.write(
            'probe/probe.bue', 'p:\n    python\n    f\n    `\ndef f():\n    return 7\n    `\n'
            'one = | p\nv = one()\n')
        self.began = time.monotonic()
        next_fault = self.began + self.options.fault_every
        next_sample = self.began
        while self.seconds() < 60 * self.options.minutes:
            done = self.chaos.keep_busy(self.kinds)
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + SAMPLE_S
                self.sample(done)
            if time.monotonic() >= next_fault:
                next_fault = time.monotonic() + self.options.fault_every
                self.fault()
                self.chaos.wait_progress(done)
            time.sleep(0.2)
        self.chaos.finish()
        self.chaos.check_nothing_left()
        self.report()

    def seconds(self):
        return time.monotonic() - self.began

    def fault(self):
        self.faults += 1
        rng = self.chaos.random
        if self.seconds() < 6 * self.options.minutes and rng.random() < 0.7:
            self.chaos.kill(rng.choice(('hub', 'bucket')))
        elif rng.random() < 0.5:
            self.chaos.kill(f'w{rng.randrange(1, self.chaos.worker_count)}')
        else:
            self.chaos.stop_for(rng.choice(list(self.chaos.roles)), rng.uniform(0.1, 2))

    def sample(self, done):
        began = time.monotonic()
        run = self.chaos.ask('upload', '-f', self.probe_script).strip()
        self.chaos.ask('wait', run)
        probe = time.monotonic() - began
        self.chaos.ask('delete', run)
        memory = self.chaos.rss()
        pids = {name: role.pid for name, role in self.chaos.roles.items()}
        for pid, parent, _ in self.turmoil_module.runners(self.cluster.folder):
            for name in pids:
                if pids[name] == parent:
                    memory[f'{name} runners'] = (memory.get(f'{name} runners', 0)
                                                 + rss_or_zero(self.turmoil_module, pid))
        self.samples.append((self.seconds(), done, probe, memory, pids))
        rate = 0
        if len(self.samples) > 1:
            before = self.samples[-2]
            rate = (done - before[1]) / (self.seconds() - before[0])
        sizes = ', '.join(f'{name} {size >> 20}' for name, size in sorted(memory.items()))
        print(f'{self.seconds():6.0f} s  {done} tasks, {rate:.0f}/s, small run {1000 * probe:.0f} '
              f'ms, {self.chaos.checked} runs right, {self.faults} faults; MB: {sizes}', flush=True)

    def report(self):
        print(f'{self.chaos.checked} runs, {self.chaos.tasks_done} tasks, {self.faults} faults: all '
              'as they must be')
        last = self.samples[-1]
        for name in sorted(last[3]):
            role = name.split(' ')[0]
            points = [(sample[0], sample[3][name]) for sample in self.samples
                      if sample[4][role] == last[4][role] and name in sample[3]]
            points = points[len(points) // 5:]  # Caches have filled.
            if len(points) >= 5:
                print(f'memory of {name}: {points[0][1] >> 20} -> {points[-1][1] >> 20} MB in '
                      f'{points[-1][0] - points[0][0]:.0f} s, slope {slope(points) * 60 / 1024:.0f} '
                      'KiB a minute')
        quarter = max(2, len(self.samples) // 4)
        for what, part in (('first', self.samples[:quarter]), ('last', self.samples[-quarter:])):
            rate = (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])
            probe = statistics.median(sample[2] for sample in part)
            print(f'{what} quarter: {rate:.0f} tasks/s, small run p50 {1000 * probe:.0f} ms')


def rss_or_zero(turmoil, pid):
    try:
        return turmoil.rss_bytes(pid)
    except (OSError, AttributeError):
        return 0  # It ended meanwhile.


def slope(points):
    """Of the straight line through the points, by least squares."""
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    return (sum((x - mean_x) * (y - mean_y) for x, y in points)
            / sum((x - mean_x) ** 2 for x, _ in points))


def main():
    options = parse()
    os.environ['BUE'] = os.path.abspath(options.bue)
    sys.path.insert(0, HERE)
    import turmoil
    import workload
    print(f'seed {options.seed}', flush=True)
    soak = Soak(turmoil, workload, options)
    try:
        soak.run()
        return 0
    except BaseException:
        traceback.print_exc()
        print(f'FAILED with seed {options.seed}', flush=True)
        return 1
    finally:
        soak.cluster.doCleanups()


if __name__ == '__main__':
    sys.exit(main())
