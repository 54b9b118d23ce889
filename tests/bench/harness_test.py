#!/usr/bin/env python3
"""The parts of the harness that need no product: figures, goals, what /proc says of a process."""
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'cluster')]
from harness import figures, processes, report
from harness.figures import Figure, Goal
from harness.meter import MB, Meter
from harness.row import Row

# When told to, uses 0.2 s of CPU and 64 MB, gives back the memory, says so and waits to be ended.
BURN = '''
import sys, time
sys.stdin.readline()
end = time.process_time() + 0.2
memory = bytearray(64 << 20)
while time.process_time() < end:
    pass
del memory
print('done', flush=True)
sys.stdin.read()
'''


class FiguresTest(unittest.TestCase):
    def test_percentile_is_one_of_the_values(self):
        self.assertEqual(figures.percentile([3, 1, 2, 4], 0.5), 2)
        self.assertEqual(figures.percentile(range(1, 101), 0.99), 99)
        self.assertEqual(figures.percentile([7], 0.99), 7)

    def test_rounds_come_to_median_least_and_most(self):
        rounds = [[Figure('rate', value, '/s')] for value in (3, 1, 2)]
        self.assertEqual(figures.summarize(rounds), [('rate', '/s', 2, 1, 3)])

    def test_rate_is_between_the_moments_that_enclose_the_counts(self):
        seen = [(0, 0), (1, 10), (2, 30), (3, 60), (4, 100)]
        self.assertEqual(figures.rate_between(seen, 15, 60), 25)

    def test_a_rate_as_it_goes_leaves_slow_moments_out(self):
        # Ten a second, but slow at first and in one of the last twentieths.
        seconds = [50] + [10] * 16 + [80] + [10] * 2
        seen = [(sum(seconds[:part]), part * 100) for part in range(21)]
        start, end, ratio, curve = figures.rate_as_it_goes(seen, 2000)
        self.assertEqual([start.value, end.value, ratio.value], [10, 10, 1])
        self.assertEqual([curve.points[0], curve.points[-1], len(curve.points)], [(100, 2), (2000, 10), 20])

    def test_numbers_have_three_digits(self):
        self.assertEqual([figures.number(value) for value in (0, 0.01234, 1.5, 99.4, 123456.7)],
                         ['0', '0.0123', '1.50', '99.4', '123,457'])

    def test_goal_is_for_the_median(self):
        row = Row('row', '', '', None, (Goal('rate', '>=', 2), Goal('time', '<=', 1)))
        measured = report.Measured(row, [[Figure('rate', value, '/s')] for value in (3, 1, 2)])
        self.assertEqual([measured.verdict(goal) for goal in row.goals], ['met', 'not measured'])


def burn(process):
    process.stdin.write(b'go\n')
    process.stdin.flush()
    return process.stdout.readline()


class MeterTest(unittest.TestCase):
    def test_cpu_and_peak_are_those_of_the_block(self):
        with subprocess.Popen([sys.executable, '-c', BURN], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as burner:
            with Meter({'burner': [burner.pid]}) as busy:
                self.assertEqual(burn(burner), b'done\n')
            with Meter({'burner': [burner.pid]}) as idle:
                pass
            self.assertGreater(busy.cpu_s['burner'], 0.15)
            self.assertGreater(busy.peak['burner'], 64 * MB)
            self.assertLess(idle.cpu_s['burner'], 0.1)
            self.assertLess(idle.peak['burner'], 64 * MB)
            burner.stdin.close()

    def test_children_are_found_and_counted(self):
        with subprocess.Popen(['sh', '-c', '"$0" -c "$1"; :', sys.executable, BURN],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            burn(parent)
            self.assertEqual(len(processes.descendants(parent.pid)), 1)
            self.assertGreater(processes.children_cpu_s(parent.pid), 0.15)
            self.assertLess(processes.own_cpu_s(parent.pid), 0.15)
            parent.stdin.close()

    def test_process_that_ended_counts_as_nothing(self):
        ended = subprocess.Popen(['true'])
        ended.wait()
        self.assertEqual(processes.own_cpu_s(ended.pid), 0)
        self.assertEqual(processes.memory_bytes(ended.pid), 0)
        self.assertEqual(processes.descendants(ended.pid), [])


if __name__ == '__main__':
    unittest.main()
