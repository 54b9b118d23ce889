"""Ghosts: code that goes on although its task was cancelled or its time is over. It counts at limits."""
import os
import time

from cluster import ClusterTest, main, wait_for

# While a step blocks, a thread of its own says every 20 ms that it does: whatever the hub believes.
STEPS = '''
import threading, time, uuid

def beating(path, work):
    name, over = uuid.uuid4().hex, threading.Event()
    def beat():
        with open(path, 'a') as log:
            while not over.is_set():
                log.write(f'{name} {time.time()}\\n')
                log.flush()
                over.wait(0.02)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        work()
    finally:
        over.set()
        thread.join()

def hang(x):
    beating('beats', lambda: time.sleep(SECONDS))
    return x

def companion(x):
    time.sleep(3)
    return x
'''


class GhostsTest(ClusterTest):
    def start_with(self, seconds):
        self.write('steps.py', STEPS.replace('SECONDS', str(seconds)))
        self.start_cluster()

    def spans(self):
        """First and last beat of each attempt."""
        spans = {}
        if not os.path.exists(self.path('w0/beats')):
            return []
        with open(self.path('w0/beats')) as log:
            for line in log:
                name, _, at = line.strip().partition(' ')
                if at:
                    first, _ = spans.get(name, (float(at), 0))
                    spans[name] = (first, float(at))
        return list(spans.values())

    def most_at_once(self):
        ends = sorted([(first, 1) for first, _ in self.spans()] + [(last, -1) for _, last in self.spans()])
        most = now = 0
        for _, change in ends:
            now += change
            most = max(most, now)
        return most

    def script(self, steps, pipe, items):
        return self.write('script.bue', f'''
import python ({steps}) steps.py
pipe = {pipe}
for x in range({items}):
    v = pipe(x)
''')

    def test_what_was_cancelled_counts_when_the_run_goes_on(self):
        self.start_with(seconds=2)
        run = self.upload(self.script('hang !max_running 2', '| hang', 6))
        for attempts in (2, 4):
            wait_for(lambda: len(self.spans()) == attempts, f'{attempts} attempts')
            self.bue('cancel', run)
            self.bue('retry', run)
            said = self.bue('explain', run, 'hang').stdout
            self.assertIn('!max_running 2: 2 run, 2 of which nobody waits for any more', said)
        self.bue('wait', run)
        self.assertEqual(self.most_at_once(), 2)
        self.assertEqual(len(self.spans()), 10)

    def test_a_key_counts_them_whatever_becomes_of_hub_and_run(self):
        self.start_with(seconds=4)
        first = self.upload(self.script('hang !max_running 2 key db', '| hang', 2))
        wait_for(lambda: len(self.spans()) == 2, 'two to run')
        self.bue('cancel', first)
        second = self.upload(self.script('hang !max_running 2 key db', '| hang', 2))
        self.hub.kill()
        self.start_hub(self.hub_address)
        self.bue('wait', second)
        self.assertEqual(self.most_at_once(), 2)
        self.assertEqual(len(self.spans()), 4)

    def test_what_outlasts_its_timeout_counts_until_it_ends(self):
        self.start_with(seconds=30)
        run = self.upload(self.script('hang !timeout 1 !max_running 1 !retries 0, companion',
                                      'hang | companion', 2))
        others = self.upload(self.script('companion', '| companion', 8))
        self.bue('wait', run, code=1, limit_s=40)
        self.bue('wait', others)
        self.assertEqual(self.most_at_once(), 1)
        self.assertEqual(len(self.spans()), 2)

    def test_what_was_cancelled_does_not_go_on_for_ever(self):
        self.start_with(seconds=300)
        run = self.upload(self.script('hang', '| hang', 2))
        wait_for(lambda: len(self.spans()) == 2, 'two to run')
        self.bue('cancel', run)
        wait_for(lambda: max(last for _, last in self.spans()) < time.time() - 1, 'their end', 30)


if __name__ == '__main__':
    main()
