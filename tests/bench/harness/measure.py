"""Runs rows, round by round, and what peers do beside them."""
import traceback

from harness import compare, quiet
from harness.report import Measured
from harness.row import Bench


def all_rows(rows, build, options):
    """Yields a Measured for each row, as soon as it is there."""
    bench = Bench(build, options.scale)
    peers = compare.Peers(build) if options.compare else None
    for row in rows:
        measured = _one_row(row, bench, options)
        if peers and row.compare and not measured.error:
            measured.peers = peers.measure(row.compare.work, bench.scaled(row.compare.size, 50))
        yield measured


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
