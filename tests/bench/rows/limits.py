"""Rows: what limits cost where they hold nobody up, and how well a rate is kept where it does."""
from harness.figures import Figure, Goal
from harness.row import Row, check

LEASES = 1000
BINDING = 20_000  # A second.

STEPS = '''
def step(x):
    return x

def before(x):
    return x

def hundreds():
    return [x % 100 for x in range(COUNT)]
'''

# Name: directives of the step. None of them is ever shut.
WIDE = {
    'max_running': '!max_running 100000',
    'shared key': '!max_running 100000 key everybody',
    'rate': '!rate 100000000/s',
    'rate of a key': '!rate 100000000/s key everybody',
    'all of them': '!max_running 100000 !queue 1000000 !rate 100000000/s',
    # Each task is one of a value of its own, which the hub sees itself.
    'by a value': '!max_running 100000 by x',
}
# The same in front of a step that another one feeds: here a queue has something to do.
QUEUES = {'queue': '!queue 100000', 'short queue': '!queue 1000'}
# A loop in a loop: as many values as people have accounts, with tasks of all of them at once.
VALUES = 10_000
MANY = {'by ten thousand values': '!max_running 100000 by x'}
# Over a list: what its values are the hub has to ask for.
ASKED = {'by a hundred values': '!max_running 100000 by x'}


class Kind:
    """What runs it: its mode, how many tasks a script has, and what a result is checked by."""

    def __init__(self, start, mode, tasks, has_values):
        self.start = start
        self.mode = mode
        self.tasks = tasks
        self.has_values = has_values


def flat(values):
    """The values of a loop in a loop are lists of lists."""
    return [v for value in values for v in value] if type(values[0]) is list else values


def start_instant(stage):
    stage.start(workers=0)
    return {'instant': [stage.start_instant_worker(LEASES).pid]}


def start_python(stage):
    stage.start(workers=1)
    return {}


INSTANT = Kind(start_instant, '!mode thread', 1_000_000, has_values=False)
PYTHON = Kind(start_python, '', 150_000, has_values=True)


class Runner:
    """Runs scripts with and without directives in one cluster, in turns: each run with some is held
    against the mean of the runs without before it and after it."""

    def __init__(self, stage, kind, count):
        self.stage = stage
        self.kind = kind
        self.count = count
        self.more = kind.start(stage)
        self.scripts = 0

    def run(self, directives, before=False, listed=False, nested=False, tasks=None):
        """The run's rate and what a task cost, in us of CPU of all processes."""
        count = tasks or self.count
        items = count // 2 if before else count
        steps = f'step {self.kind.mode} {directives}, hundreds'
        if before:
            steps = f'before {self.kind.mode}, {steps}'
        each = max(1, items // VALUES)
        if nested:
            items = items // each * each
            loops = f'for x in range({items // each}):\n    for y in range({each}):\n        v = pipe(x)\n'
        else:
            loops = f'for x in {"list()" if listed else f"range({items})"}:\n    v = pipe(x)\n'
        self.scripts += 1
        script = self.stage.script(
            f'limits-{self.scripts}', f'import python ({steps}) steps.py\nlist = | hundreds\n'
            f'pipe = {"before" if before else ""} | step\n' + loops,
            STEPS.replace('COUNT', str(items)))
        with self.stage.meter(**self.more) as meter:
            status = self.stage.run(script)
        done = items * (2 if before else 1) + (1 if listed else 0)
        check(status['tasks']['done'] == done, f'all tasks are done: {status["tasks"]}')
        if self.kind.has_values:
            values = [x % 100 if listed else x // each if nested else x for x in range(items)]
            check(flat(self.stage.value(status, 'v')) == values, 'each item has its own value')
        return done / status['elapsed_s'], 1e6 * sum(meter.cpu_s.values()) / done

    def compare(self, variants, title, **how):
        """Figures of each of `variants`: its rate and its CPU, as parts of those without."""
        plain = [self.run('', **how)]
        limited = []
        for directives in variants.values():
            limited.append(self.run(directives, **how))
            plain.append(self.run('', **how))
        found = [Figure(f'{title}, no limit', sum(rate for rate, _ in plain) / len(plain), 'tasks/s'),
                 Figure('CPU', sum(cpu for _, cpu in plain) / len(plain), 'us/task')]
        for number, name in enumerate(variants):
            around = plain[number:number + 2]
            for place, what in ((0, name), (1, f'CPU {name}')):
                without = sum(one[place] for one in around) / 2
                found.append(Figure(what, limited[number][place] / without, 'x'))
        return found


def limits(kind):
    def measure(bench):
        with bench.stage() as stage:
            runner = Runner(stage, kind, bench.scaled(kind.tasks, 2000))
            runner.run('', tasks=2000)  # Starts what is started with the first task.
            found = runner.compare(WIDE, 'one step') + runner.compare(QUEUES, 'two steps', before=True)
            found += runner.compare(MANY, 'a loop in a loop', nested=True)
            if kind.has_values:
                found += runner.compare(ASKED, 'over a list', listed=True)
            rate, _ = runner.run(f'!rate {BINDING}/s', tasks=bench.scaled(3 * BINDING, 2000))
        return found + [Figure('kept of a rate that binds', rate / BINDING, 'x')]
    return measure


HOW = ('a loop over range() without a limit, with one, without, ...: rates from each run\'s start to its end by '
       'the hub, as parts of the mean of the two runs without around it; CPU of all processes likewise; '
       f'the last figure: the rate reached with !rate {BINDING}/s, by that')
GOALS = tuple(Goal(name, '>=', 0.8) for name in (*WIDE, *QUEUES, *MANY))
VALUES_GOALS = (*GOALS, *(Goal(name, '>=', 0.8) for name in ASKED))

ROWS = [
    Row('limits-hub', 'wide limits beside none: no-op tasks through the hub', 'an instant worker; ' + HOW,
        limits(INSTANT), goals=GOALS),
    Row('limits-python', 'wide limits beside none: no-op Python tasks', 'one worker, plain `def`; ' + HOW,
        limits(PYTHON), goals=VALUES_GOALS),
]
