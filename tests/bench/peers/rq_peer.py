"""RQ with Redis: two workers that run jobs in their own process, which is faster than RQ's forks. A
job's dependents are not given its result, so the client hands it on in a chain."""
import common
import redis
import redis_server
import rq
import tasks

port, server = redis_server.start()
connection = redis.Redis(port=port)
jobs = rq.Queue('peer', connection=connection)


def start_workers():
    for _ in range(2):
        common.start_module('rq.cli', 'worker', '--worker-class', 'rq.SimpleWorker', '--url',
                            f'redis://127.0.0.1:{port}/0', '--quiet', 'peer')
    run(tasks.same, 7)


def run(function, argument):
    return jobs.enqueue(function, argument).latest_result(timeout=60).return_value


def enqueue_many(size):
    return jobs.enqueue_many([rq.Queue.prepare_data(tasks.same, (x,), result_ttl=3600)
                              for x in range(size)])


def run_many(size):
    queued = enqueue_many(size)
    common.wait_until(lambda: jobs.finished_job_registry.count >= size, limit_s=600)
    return [one.latest_result().return_value for one in queued]


def noop(size):
    start_workers()
    return common.rate(size, lambda: common.check(run_many(size) == list(range(size)), 'values'))


def latency(size):
    start_workers()
    return common.latencies(size, lambda: common.check(run(tasks.same, 7) == 7, '7'))


def chain(size):
    start_workers()

    def work():
        data = ''
        for _ in range(common.CHAIN):
            data = run(tasks.grow, data)
        common.check(len(data) == common.PAYLOAD, 'the payload is whole')
    return common.latencies(size, work)


def queue(size):
    return common.queued(size, server.pid, lambda: enqueue_many(size))


def fan(size):
    start_workers()
    return {'time': common.seconds(lambda: common.check(
        run(tasks.total, run_many(size)) == sum(range(size)), 'the sum'))}


common.main({'noop': noop, 'latency': latency, 'chain': chain, 'queue': queue, 'fan': fan})
