"""What workers have asked ahead for: it does not stay with one that is slow while another has no work."""
from cluster import main, wait_for
from holding import HOLD, HoldingTest

STEPS = HOLD + '''
def quick(x):
    return x
'''


class AheadTest(HoldingTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def script(self, step, items):
        return self.write(f'{step}.bue', f'''
import python ({step}) steps.py
pipe = | {step}
for x in range({items}):
    v = pipe(x)
''')

    def test_an_idle_worker_gets_what_another_has_not_started(self):
        self.start_cluster(1, '--slots', '2')
        # It expects more of these, and asks for many at a time.
        self.bue('wait', self.upload(self.script('quick', 5000)))
        run = self.upload(self.script('hold', 40))
        wait_for(lambda: len(self.started('w0')) == 2, 'two to run')
        wait_for(lambda: self.status(run)['tasks']['running'] > 2, 'more to be asked for')
        self.start_worker('--name', 'w1', '--slots', '2', cwd=self.path('w1'))
        self.release('w1')
        self.wait_done(run, 38)
        self.assertEqual(len(self.started('w0')), 2)
        self.assertEqual(len(self.started('w1')), 38)
        self.release('w0')
        self.bue('wait', run)
        self.assertEqual(sorted(self.started('w0') + self.started('w1')), list(range(40)))


if __name__ == '__main__':
    main()
