"""Rows: SQL steps against Python's own sqlite3 on the same rows."""
from harness.figures import Figure, Goal
from harness.row import Row, check

STEPS = '''
import sqlite3

def make():
    return [dict(id=i, name=f'campaign {{i % 500}}', sales=1 + i * 1.25, spend=i * 0.5, clicks=i * 7,
                 day='2024-01-02') for i in range({rows})]

def in_python(rows):
    database = sqlite3.connect(':memory:')
    database.row_factory = sqlite3.Row
    database.execute('create table t (id, name, sales, spend, clicks, day)')
    database.executemany('insert into t values (:id, :name, :sales, :spend, :clicks, :day)', rows)
    found = [dict(row) for row in database.execute('select *, spend / sales as acos from t')]
    database.close()
    return found

def look(rows):
    return [len(rows), sum(row['acos'] for row in rows)]
'''

SCRIPT = '''
import python (make, in_python, look) steps.py
in_place:
    sqlite3
    t
    `select *, spend / sales as acos from t`
real_tables:
    sqlite3
    t
    `create table u as select * from t; select *, spend / sales as acos from u`
make_pipe = | make
query_pipe = | {step}
look_pipe = | look
rows = make_pipe()
{queries}
l = look_pipe(v)
'''

STEPS_MEASURED = ('in_place', 'real_tables', 'in_python')


def run(stage, step, queries):
    """Runs so many queries of the same rows, one after the other; (seconds, what the last came to)."""
    calls = '\n'.join(['v = query_pipe(rows)'] * queries)
    status = stage.run(stage.script(f'{step}-{queries}', SCRIPT.format(step=step, queries=calls)))
    return status['elapsed_s'], stage.value(status, 'l')


def queries(rows):
    """The measurement of a query: a run with many less a run with one, so that making the rows and
    looking at them do not count. The shorter they are, the more of them it takes."""
    def measure(bench):
        count = bench.scaled(rows, 100)
        more = min(40, max(2, 400_000 // count))
        figures = []
        sums = []
        with bench.stage() as stage:
            stage.start(1, ('--sql-slots', 1, '--thread-slots', 1))
            stage.cluster.write('steps.py', STEPS.format(rows=count))
            for step in STEPS_MEASURED:
                run(stage, step, 1)
                one, _ = run(stage, step, 1)
                many, found = run(stage, step, 1 + more)
                sums.append(found)
                check(many > one, f'{1 + more} queries take longer than one')
                figures.append(count * more / (many - one))
        check(sums[0] == sums[1] == sums[2] and sums[0][0] == count, f'all find the same: {sums}')
        in_place, real_tables, in_python = figures
        return [Figure('in place', in_place, 'rows/s'), Figure('real tables', real_tables, 'rows/s'),
                Figure('Python sqlite3', in_python, 'rows/s'),
                Figure('in place to Python', in_place / in_python, '')]
    return measure


HOW = ('one SQL slot, 6 columns, select with one more: a run of 3 to 41 queries of the same rows less a run '
       'of one; Python: the same in a plain `def` step; the values are stored and compared')
GOALS = (Goal('in place', '>=', 600_000), Goal('real tables', '>=', 400_000))

ROWS = [
    Row('sql-10k', 'SQLite step on 10,000 rows', HOW, queries(10_000), goals=GOALS),
    Row('sql-100k', 'SQLite step on 100,000 rows', HOW, queries(100_000)),
    Row('sql-1m', 'SQLite step on 1,000,000 rows', HOW, queries(1_000_000), rounds_max=1),
]
