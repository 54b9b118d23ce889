"""gearmand with its queue in SQLite. Only background jobs are stored, whose results nobody is told: the
workers count them."""
import os

import common
from gearman_protocol import JOB_CREATED, SUBMIT_JOB_BG, Connection
from gearman_server import Server

server = Server('--queue-type', 'libsqlite3', '--libsqlite3-db',
                os.path.join(common.folder, 'queue.sqlite'))
connection = Connection(server.port)


def submit(size):
    connection.send(*((SUBMIT_JOB_BG, b'same', b'', b'%d' % x) for x in range(size)))
    for _ in range(size):
        common.check(connection.receive()[0] == JOB_CREATED, 'a job is acknowledged')


def noop(size):
    server.start_workers()

    def work():
        submit(size)
        common.wait_until(lambda: server.done() == (size, sum(range(size))), limit_s=600)
    return common.rate(size, work)


def queue(size):
    return common.queued(size, server.process.pid, lambda: submit(size))


common.main({'noop': noop, 'queue': queue})
