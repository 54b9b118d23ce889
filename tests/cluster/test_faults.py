"""Processes killed and stopped at random under load: nothing lost, nothing counted twice, no slot
leaked, every run ends. The long version is chaos.py."""
import json
import random
import time

import turmoil
import workload
from cluster import ClusterTest, main, wait_for

KILLS = 8


class FaultsTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.seed = random.randrange(1 << 32)
        print(f'seed {self.seed}', flush=True)
        self.random = random.Random(self.seed)

    def turmoil(self, **options):
        self.chaos = turmoil.Turmoil(self, self.random, **options)
        self.chaos.start()
        return self.chaos

    def judge(self):
        """Every run ends as it must, and nothing is left."""
        self.chaos.finish()
        self.chaos.check_nothing_left()

    def test_random_kills_and_stops(self):
        chaos = self.turmoil()
        for _ in range(KILLS):
            done = chaos.keep_busy(workload.KINDS + workload.SMALL_KINDS)
            time.sleep(self.random.uniform(0, 0.5))
            chaos.strike()
            chaos.wait_progress(done)
        self.judge()

    def test_hub_kills_run_nothing_twice(self):
        """A hub's restart loses no running work: what ran goes on, and nothing begins again."""
        chaos = self.turmoil(items=2000, nap=0.05)
        for _ in range(4):
            done = chaos.keep_busy((workload.Chain, workload.Retries, workload.Stream))
            chaos.kill('hub', pause_s=self.random.choice((0, 0.3, 3)))
            chaos.wait_progress(done, 50)
        self.judge()
        self.assertEqual(chaos.again, [])

    def test_bucket_kills_run_nothing_twice(self):
        chaos = self.turmoil(items=2000, nap=0.05)
        for _ in range(3):
            done = chaos.keep_busy((workload.FanIn, workload.Large, workload.Stream))
            chaos.kill('bucket', pause_s=self.random.choice((0, 0.3, 3)))
            chaos.wait_progress(done, 50)
        self.judge()
        self.assertEqual(chaos.again, [])

    def test_stopped_worker_loses_its_tasks_and_comes_back(self):
        chaos = self.turmoil(items=1000, nap=0.05)
        chaos.wait_progress(chaos.keep_busy((workload.Chain,), runs=1), 50)
        chaos.keep_busy((workload.Chain,), runs=1)
        chaos.stop_for('w0', turmoil.SILENCE_S + 3)
        wait_for(lambda: all(one['alive'] for one in self.workers_now()), 'it is back')
        self.judge()

    def test_stopped_hub_and_bucket_lose_nothing(self):
        chaos = self.turmoil(items=1000, nap=0.05)
        for name in ('hub', 'bucket'):
            chaos.wait_progress(chaos.keep_busy((workload.FanIn,), runs=1), 50)
            chaos.keep_busy((workload.FanIn,), runs=1)
            chaos.stop_for(name, turmoil.SILENCE_S + 3)
        self.judge()
        self.assertEqual(chaos.again, [])

    def workers_now(self):
        return json.loads(self.bue('workers', '--json').stdout)

    def test_acknowledged_uploads_are_kept(self):
        """Small runs, uploaded while the hub is killed again and again; half of them asked for
        twice under one key."""
        chaos = self.turmoil(workers=1, items=20, nap=0)
        known = set()
        for kill in range(4):
            for _ in range(5):
                known.add(chaos.upload(workload.Chain).number)
            chaos.kill('hub', pause_s=0)
            for number in list(known)[-2:]:
                self.assertIn(number, chaos.statuses())
        self.assertEqual(len(known), 20)
        self.judge()


if __name__ == '__main__':
    main()
