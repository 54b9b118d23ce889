#!/usr/bin/env python3
"""run.py BUE [PATTERN]: every cluster test whose name holds PATTERN; ends with `N passed, M failed`."""
import os
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class Report(unittest.TextTestResult):
    """A line per test, with how long it took."""

    def startTest(self, test):
        self.began = time.monotonic()
        unittest.TestResult.startTest(self, test)

    def say(self, word, test):
        took = time.monotonic() - self.began
        print(f'{word:7} {took:6.1f} s  {test.id()}', flush=True)

    def addSuccess(self, test):
        self.say('ok', test)

    def addFailure(self, test, err):
        unittest.TestResult.addFailure(self, test, err)
        self.say('FAILED', test)
        print(self.failures[-1][1], flush=True)

    def addError(self, test, err):
        unittest.TestResult.addError(self, test, err)
        print(f'FAILED  {test.id()}\n{self.errors[-1][1]}', flush=True)

    def addSubTest(self, test, subtest, err):
        unittest.TestResult.addSubTest(self, test, subtest, err)
        if err is not None:
            print(f'FAILED  {subtest.id()}\n{(self.failures or self.errors)[-1][1]}', flush=True)

    def addSkip(self, test, reason):
        unittest.TestResult.addSkip(self, test, reason)
        print(f'skipped {test.id()}: {reason}', flush=True)


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def main():
    # Whoever starts this in the background may ignore interrupts; what is tested here must not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    os.environ['BUE'] = os.path.abspath(sys.argv[1])
    sys.path.insert(0, HERE)
    pattern = sys.argv[2] if len(sys.argv) > 2 else ''
    tests = [test for test in flatten(unittest.TestLoader().discover(HERE, 'test_*.py', HERE))
             if pattern in test.id()]
    result = Report(unittest.runner._WritelnDecorator(sys.stderr), False, 0)
    unittest.TestSuite(tests).run(result)
    bad = {test.id().split(' ')[0] for test, _ in result.failures + result.errors}
    print(f'{len(tests) - len(bad) - len(result.skipped)} passed, {len(bad)} failed')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
