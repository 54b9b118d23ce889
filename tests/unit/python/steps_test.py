"""Steps and their modules from the first call to the last, and those that follow them."""
import threading
import unittest

from buelon import _modules
from buelon import _steps

CODE = '''
told = []
def start(): told.append('start')
def finalize(): told.append('finalize')
def step(): return told
'''


def step(number, code=CODE):
    return _steps.Step({'number': number, 'run': number, 'index': 0, 'name': 'step',
                        'function': 'step', 'path': '', 'code': code, 'script': 's.bue', 'mode': 0,
                        'start_is_step': False, 'finalize_is_step': False, 'refill': False,
                        'files_dir': ''}, in_process=False)


class StepsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        _modules.install()

    def setUp(self):
        self.known = []

    def tearDown(self):
        for one in self.known:
            _modules.leave(one.files, one.number)

    def add(self, number):
        made = step(number)
        self.known.append(made)
        return made

    def load(self, number):
        loaded = self.add(number)
        loaded.load(_steps.run_here)
        return loaded

    def end(self, one, on_error=None):
        self.assertTrue(_modules.leave(one.files, one.number))
        _steps.finalize(one.files, _steps.run_here, on_error)

    def test_who_comes_while_another_runs_takes_what_it_loaded(self):
        first, second = self.load(1), self.add(2)
        self.assertTrue(second.take_loaded())
        self.assertIs(second.call(), first.call())
        self.assertFalse(_modules.leave(first.files, first.number))
        self.end(second)
        self.assertEqual(second.call(), ['start', 'finalize'])

    def test_who_comes_after_the_last_loads_anew_though_hooks_still_run(self):
        first = self.load(1)
        self.assertTrue(_modules.leave(first.files, first.number))
        second = self.add(2)
        self.assertFalse(second.take_loaded())
        second.load(_steps.run_here)
        _steps.finalize(first.files, _steps.run_here, None)
        self.assertEqual(first.call(), ['start', 'finalize'])
        third = self.add(3)
        self.assertTrue(third.take_loaded())
        self.assertEqual(third.call(), ['start'])
        self.assertFalse(_modules.leave(second.files, second.number))
        self.end(third)
        self.assertEqual(third.call(), ['start', 'finalize'])

    def test_of_many_that_load_at_once_one_runs_the_hook(self):
        steps = [self.add(number) for number in range(8)]
        threads = [threading.Thread(target=one.load, args=(_steps.run_here,)) for one in steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([one.call() for one in steps], [['start']] * 8)


if __name__ == '__main__':
    unittest.main()
