"""Hub, bucket and workers on hosts of their own (network namespaces): partitions, one-way drops, delay,
loss, a link that comes and goes. Skipped, with the reason, where namespaces may not be made."""
import json
import os
import subprocess
import time
import unittest

import network
import workload
from cluster import ClusterTest, main, wait_for

HUB_PORT, BUCKET_PORT = 65432, 61535
HOSTS = ('hub', 'bucket', 'w0', 'w1', 'client')
SOON_S = 60  # For a thing that takes seconds, on a machine that does many things at once.

# Long steps: cut off in the middle of them, a worker shall hear of it before they end. Each looks
# often whether it may end, and notes where it began and where it ended.
LONG_STEPS = '''
import asyncio
import os
import time
import buelon

def note(event):
    worker = os.path.basename(os.getcwd())
    line = f'{event} {time.time():.6f} {buelon.task().key} {buelon.task().attempt} hold\\n'
    with open(f'%(folder)s/{worker}.{os.getpid()}.log', 'a') as log:
        log.write(line)

async def hold(x):
    note('start')
    try:
        while not os.path.exists('%(folder)s/../release'):
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        note('stop')
        raise
    note('end')
    return x
'''
LONG_SCRIPT = '''
!retries 0
import python (hold) steps.py
pipe = | hold
for x in range(20):
    v = pipe(x)
'''


class NetworkTest(ClusterTest):
    def setUp(self):
        super().setUp()
        try:
            self.network = network.Network(HOSTS)
        except network.NotPermitted as reason:
            raise unittest.SkipTest(f'no network namespaces: {reason}')
        self.addCleanup(self.network.close)
        self.prefix = self.network.prefix('client')
        token = self.bue('token', hub=False).stdout
        self.token = self.write('token', token)
        os.chmod(self.token, 0o600)
        self.logs = self.path('steps-log')
        os.makedirs(self.logs)
        self.hub_address = f'{self.network.address("hub")}:{HUB_PORT}'
        self.bucket = self.start('bucket', '-b', f'{self.network.address("bucket")}:{BUCKET_PORT}',
                                 '--data', self.path('bucket'), '--token-file', self.token,
                                 prefix=self.network.prefix('bucket'))
        self.hub = self.start('hub', '-b', self.hub_address, '-k', self.bucket.address, '--data',
                              self.path('hub'), '--token-file', self.token,
                              prefix=self.network.prefix('hub'))
        for name in ('w0', 'w1'):
            self.start('worker', '-b', self.hub_address, '--name', name, '--thread-slots', 8,
                       '--async-slots', 20, '--python', '/usr/bin/python3', '--token-file',
                       self.token, cwd=self.path(name), prefix=self.network.prefix(name))

    def bue(self, *arguments, **options):
        if hasattr(self, 'token'):
            arguments = [*arguments, '--token-file', self.token]
        return super().bue(*arguments, **options)

    def ask(self, *words):
        return self.bue(*words).stdout

    # ----------------------------------------------------------------------------------- the runs

    def start_long(self):
        """Twenty tasks that run until release(): all begun, some on each worker."""
        self.write('long/steps.py', LONG_STEPS % {'folder': self.logs})
        run = self.upload(self.write('long/script.bue', LONG_SCRIPT))
        wait_for(lambda: len(self.begun()) == 20, 'all have begun', SOON_S)
        return run

    def begun(self):
        return workload.events(self.logs)

    def begun_again(self, worker):
        """Of the tasks that began on `worker`: those that began elsewhere since."""
        return [one for one in workload.reruns(self.logs) if one[2] == worker != one[4]]

    def on(self, worker):
        return [key for key, events in self.begun().items() if events[0][2] == worker]

    def end_long(self, run):
        self.write('release', '')
        self.bue('wait', run, limit_s=180)
        self.assertEqual(json.loads(self.ask('get', run, 'v')), list(range(20)))
        self.assertEqual(self.status(run)['tasks']['failed'], 0)
        self.assertEqual(self.json_lines('errors', run), [])

    def ran_to_the_end_once(self):
        for task, events in self.begun().items():
            ends = [event for event in events if event[1] == 'end']
            self.assertEqual(len(ends), 1, f'{task}: {events}')

    def start_short(self, kind_class, items=1500):
        kind = kind_class(items)
        script = workload.write_files(self.path('short'), self.logs, kind, 0.03)
        run = workload.Run(self.upload(script), kind, self.ask)
        self.wait_done(run.number, 50)
        return run

    def end_short(self, run):
        try:
            self.bue('wait', run.number, limit_s=240, code=run.kind.code)
        except subprocess.TimeoutExpired:
            logs = '\n'.join(role.log()[-1500:] for role in self.roles)
            self.fail(f'the run does not end: {run.status()}, {self.ask("workers")}\n{logs}')
        run.check()

    def alive(self):
        return {one['name']: one['alive'] for one in json.loads(self.ask('workers', '--json'))}

    def both_are_there(self):
        wait_for(lambda: self.alive() == {'w0': True, 'w1': True}, 'both workers are there', SOON_S)

    # ---------------------------------------------------------------------------------- the tests

    def test_silent_partition_moves_tasks_and_the_worker_comes_back(self):
        run = self.start_long()
        mine = self.on('w0')
        self.assertTrue(mine)
        cut_at = time.time()
        self.network.part('w0')
        wait_for(lambda: len(self.begun_again('w0')) == len(mine), 'all begin elsewhere', SOON_S)
        took = max(one[5] for one in self.begun_again('w0')) - cut_at
        print(f'silent partition: {len(mine)} tasks elsewhere after {took:.2f} s', flush=True)
        self.network.heal()
        self.both_are_there()
        wait_for(lambda: self.stopped('w0') == set(mine), 'w0 stops what is not its any more', SOON_S)
        self.end_long(run)
        self.ran_to_the_end_once()

    def stopped(self, worker):
        """The tasks that were cancelled there."""
        return {key for key, events in self.begun().items()
                if any(what == 'stop' and where == worker for _, what, where in events)}

    def test_one_way_faults_are_found_in_either_direction(self):
        for source, destination in (('w0', 'hub'), ('hub', 'w0')):
            with self.subTest(f'{source} is not heard by {destination}'):
                run = self.start_long()
                mine = self.on('w0')
                cut_at = time.time()
                self.network.cut(source, destination)
                wait_for(lambda: len(self.begun_again('w0')) >= len(mine), 'all begin elsewhere',
                         SOON_S)
                took = max(one[5] for one in self.begun_again('w0')) - cut_at
                print(f'{source} -> {destination} dropped: {len(mine)} tasks elsewhere after '
                      f'{took:.2f} s', flush=True)
                self.network.heal()
                self.both_are_there()
                self.end_long(run)
                self.forget()

    def forget(self):
        os.unlink(self.path('release'))
        for name in os.listdir(self.logs):
            os.unlink(f'{self.logs}/{name}')

    def test_delay_and_loss_change_nothing_but_time(self):
        self.network.everywhere(loss=0.01, delay_s=0.02)
        run = self.start_short(workload.Retries, 600)
        self.end_short(run)
        self.assertEqual(workload.reruns(self.logs), [])

    def test_link_that_comes_and_goes(self):
        run = self.start_short(workload.Chain, 3000)
        for cut_s in (0.1, 0.5, 1, 0.1, 2, 0.3, 7, 0.2, 1, 0.1, 3):
            self.network.part('w0')
            time.sleep(cut_s)
            self.network.heal()
            time.sleep(0.2)
        self.both_are_there()
        self.end_short(run)

    def test_worker_without_its_bucket_waits(self):
        """The hub hears it: it keeps its tasks, and their values are stored when the bucket is
        there again."""
        run = self.start_short(workload.Chain, 1000)
        self.network.part('w0', ['bucket'])
        time.sleep(8)
        self.assertEqual(self.alive(), {'w0': True, 'w1': True})
        self.network.heal()
        self.end_short(run)
        self.assertEqual(workload.reruns(self.logs), [])

    def test_hub_cut_off_from_all(self):
        run = self.start_short(workload.FanIn, 1500)
        self.network.part('hub')
        time.sleep(8)
        self.network.heal()
        self.both_are_there()
        self.end_short(run)

    def test_strangers_are_refused(self):
        self.assertIn('token', ClusterTest.bue(self, 'status', code=2).stderr)
        refused = ClusterTest.bue(self, 'bucket', '-b', f'{self.network.address("client")}:1234',
                                  '--data', self.path('b2'), code=2, hub=False)
        self.assertIn('token', refused.stderr)


if __name__ == '__main__':
    main()
