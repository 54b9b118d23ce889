#!/usr/bin/env python3
"""chaos.py BUE [--kills N] [--seed S]: random kill -9, SIGSTOP and SIGCONT of hub, bucket and workers
while runs of 10,000 tasks and more are under way, several at a time and at least a fifth of them
open; then every run is judged. Prints its seed, a line per fault, and figures. Ends after N faults,
or --minutes; exit code 1 if anything was lost, counted twice, leaked or stuck. With fewer workers a
task may well lose three in a row, and fail for that.
"""
import argparse
import os
import random
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))


def parse():
    parser = argparse.ArgumentParser(prog='chaos.py', description=__doc__)
    parser.add_argument('bue')
    parser.add_argument('--kills', type=int, default=200)
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    parser.add_argument('--minutes', type=float, default=60, help='no faults after that')
    parser.add_argument('--items', type=int, default=5000, help='of each run; 2 to 3 tasks each')
    parser.add_argument('--workers', type=int, default=5)
    parser.add_argument('--slots', type=int, default=16)
    parser.add_argument('--kills-only', action='store_true', help='no SIGSTOP')
    return parser.parse_args()


def main():
    options = parse()
    os.environ['BUE'] = os.path.abspath(options.bue)
    sys.path.insert(0, HERE)
    import turmoil
    import workload
    print(f'seed {options.seed}', flush=True)
    began = time.monotonic()

    def say(line):
        print(f'{time.monotonic() - began:7.1f} s  {line}', flush=True)

    cluster = turmoil.new_cluster()
    chaos = turmoil.Turmoil(cluster, random.Random(options.seed), options.workers, options.slots,
                            options.items)
    try:
        chaos.start()
        kinds = workload.KINDS + workload.SMALL_KINDS
        while (len(chaos.strikes) < options.kills
               and time.monotonic() - began < 60 * options.minutes):
            done = chaos.keep_busy(kinds)
            time.sleep(chaos.random.uniform(0, 0.5))
            what = chaos.strike(options.kills_only)
            struck = time.monotonic()
            chaos.wait_progress(done)
            say(f'{len(chaos.strikes):4} {what}; going on {time.monotonic() - struck:.1f} s after; '
                f'{chaos.checked} runs right so far')
        say('no more faults')
        chaos.finish()
        chaos.check_nothing_left()
        kills = [strike for strike in chaos.strikes if strike.what == 'kill']
        say(f'{len(kills)} kills ({", ".join(sorted(count(kills)))}), '
            f'{len(chaos.strikes) - len(kills)} stops; {chaos.checked} runs, '
            f'{chaos.tasks_done} tasks done, each counted once; {len(chaos.again)} begun again because '
            'their worker was struck; no slot leaked, no runner left behind')
        return 0
    except BaseException:
        traceback.print_exc()
        print(f'FAILED with seed {options.seed}; logs are in {cluster.folder}', flush=True)
        keep(cluster)
        return 1
    finally:
        cluster.doCleanups()


def count(strikes):
    roles = [strike.role for strike in strikes]
    return {f'{role} {roles.count(role)}' for role in roles}


def keep(cluster):
    """The folder stays for whoever looks into it: all that is cleaned up is processes."""
    cluster._cleanups = [one for one in cluster._cleanups if one[0] == cluster._end_roles]


if __name__ == '__main__':
    sys.exit(main())
