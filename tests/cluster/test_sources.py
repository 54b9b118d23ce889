"""Streaming sources that fail halfway and run again: whoever yields the same again goes on where it was,
whoever yields something else fails and says so, for items have begun with what came first."""
import json
import os

from cluster import ClusterTest, main

STEPS = '''
import os
import time
import buelon

def again():
    return buelon.task().attempt > 1

def fails_halfway(elements):
    """Yields them; the first time only ten, and these are taken before it fails."""
    for number, element in enumerate(elements):
        if number == 10 and not again():
            while len(os.listdir('TAKEN')) < 10:
                time.sleep(0.01)
            raise RuntimeError('halfway')
        yield element

def same():
    yield from fails_halfway(range(3000))

def other_order():
    yield from fails_halfway(range(3000, 0, -1) if again() else range(3000))

def fewer():
    yield from fails_halfway(range(5) if again() else range(3000))

def take(x):
    open(f'TAKEN/{x}', 'w').close()
    return x
'''
SCRIPT = '''
import python (source !retries 1 !backoff 0.01, take) steps.py
source_pipe = | source
pipe = | take
for x in source_pipe():
    v = pipe(x)
'''


class SourcesTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.start_cluster()

    def run_source(self, name):
        taken = self.path(name, 'taken')
        os.makedirs(taken)
        self.write(f'{name}/steps.py', STEPS.replace('TAKEN', taken))
        return self.upload(self.write(f'{name}/script.bue', SCRIPT.replace('source !', f'{name} !')
                                      .replace('| source', f'| {name}')))

    def test_the_same_elements_again_go_on(self):
        run = self.run_source('same')
        self.bue('wait', run)
        self.assertEqual(json.loads(self.bue('get', run, 'v').stdout), list(range(3000)))
        self.assertEqual([one['error'] for one in self.json_lines('errors', run)], ['halfway'])
        self.assertEqual(self.status(run)['tasks']['done'], 3001)

    def test_other_elements_fail_the_source(self):
        for name in ('other_order', 'fewer'):
            with self.subTest(name):
                run = self.run_source(name)
                self.bue('wait', run, code=1)
                first, last = self.json_lines('errors', run)
                self.assertEqual(first['error'], 'halfway')
                self.assertIn('did not yield the same 10 elements first', last['error'])
                status = self.status(run)
                self.assertEqual((status['state'], status['tasks']['failed']), ('failed', 1))
                # What had begun is done.
                self.assertEqual(status['items']['done'], 10)


if __name__ == '__main__':
    main()
