"""gearmand with its queue in memory, two Python workers that speak its protocol. It has no dependencies
between jobs: the client hands values on."""
import common
from gearman_protocol import JOB_CREATED, SUBMIT_JOB, WORK_COMPLETE, Connection
from gearman_server import Server

AT_ONCE = 500  # Jobs submitted and not yet done.

server = Server()
server.start_workers()
connection = Connection(server.port)


def run(name, data):
    connection.send((SUBMIT_JOB, name, b'', data))
    while True:
        kind, body = connection.receive()
        if kind == WORK_COMPLETE:
            return body.split(b'\0', 1)[1]


def run_many(size):
    """The values of `same` for range(size), in the order in which they came."""
    found = []
    sent = 0
    while len(found) < size:
        more = min(AT_ONCE - (sent - len(found)), size - sent)
        if more > 0:
            connection.send(*((SUBMIT_JOB, b'same', b'', b'%d' % x)
                              for x in range(sent, sent + more)))
            sent += more
        kind, body = connection.receive()
        if kind == WORK_COMPLETE:
            found.append(int(body.split(b'\0', 1)[1]))
        else:
            common.check(kind == JOB_CREATED, f'a packet of kind {kind}')
    return found


def noop(size):
    return common.rate(size, lambda: common.check(
        sorted(run_many(size)) == list(range(size)), 'all have their value'))


def latency(size):
    return common.latencies(size, lambda: common.check(run(b'same', b'7') == b'7', '7'))


def chain(size):
    def work():
        data = b''
        for _ in range(common.CHAIN):
            data = run(b'grow', data)
        common.check(len(data) == common.PAYLOAD, 'the payload is whole')
    return common.latencies(size, work)


def fan(size):
    return {'time': common.seconds(lambda: common.check(
        int(run(b'total', b' '.join(b'%d' % x for x in run_many(size)))) == sum(range(size)),
        'the sum'))}


common.main({'noop': noop, 'latency': latency, 'chain': chain, 'fan': fan})
