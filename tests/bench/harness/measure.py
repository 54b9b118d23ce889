"""Runs rows, round by round, and what peers do beside them."""
import traceback

from harness import quiet
from harness.report import Measured
from harness.row import Bench


def all_rows(rows, build, options):
    """Yields a Measured for each row, as soon as it is there."""
    bench = Bench(build, options.scale)
    for row in rows:
        yield _one_row(row, bench, options)


def _one_row(row, bench, options):
    foreign = quiet.Foreign()
    rounds = []
    error = ''
    try:
        for _ in range(min(options.rounds, row.rounds_max)):
            rounds.append(row.measure(bench))
    except Exception as failure:  # Whatever it was: the other rows are measured all the same.
        quiet.say(traceback.format_exc())
        error = str(failure)[-1000:] or repr(failure)
    return Measured(row, [] if error else rounds, error, foreign.cores())
