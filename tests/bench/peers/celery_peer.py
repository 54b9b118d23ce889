"""Celery with Redis as broker and result backend: acknowledged late, a worker of two processes. What
sleeps runs in 500 threads, beyond which it gets no faster."""
import os

import common
import redis_server

port, redis = redis_server.start()
os.environ['PEER_PORT'] = str(port)

import celery  # After the port is known.
import celery_app


def start_worker(*options):
    common.start_module('celery', '-A', 'celery_app', 'worker', '--without-gossip',
                        '--without-mingle', '--loglevel', 'warning', *options)
    common.check(celery_app.same.delay(7).get(timeout=60) == 7, 'a worker is there')


def start_processes():
    start_worker('--pool', 'prefork', '--concurrency', '2')


def noop(size):
    start_processes()

    def work():
        results = [celery_app.same.delay(x) for x in range(size)]
        common.check([one.get() for one in results] == list(range(size)), 'all have their value')
    return common.rate(size, work)


def latency(size):
    start_processes()
    return common.latencies(size, lambda: common.check(celery_app.same.delay(7).get() == 7, '7'))


def chain(size):
    start_processes()
    steps = celery.chain(celery_app.grow.s(''), *[celery_app.grow.s()] * (common.CHAIN - 1))
    return common.latencies(size, lambda: common.check(
        len(steps.delay().get()) == common.PAYLOAD, 'the payload is whole'))


def queue(size):
    return common.queued(size, redis.pid, lambda: [celery_app.same.delay(x) for x in range(size)])


def fan(size):
    start_processes()

    def work():
        gathered = celery.chord(celery_app.same.s(x) for x in range(size))(celery_app.total.s())
        common.check(gathered.get() == sum(range(size)), 'the sum')
    return {'time': common.seconds(work)}


def sleep(size):
    start_worker('--pool', 'threads', '--concurrency', '500')

    def work():
        results = [celery_app.sleep.delay(x) for x in range(size)]
        common.check([one.get() for one in results] == list(range(size)), 'all have their value')
    return {'time': common.seconds(work)}


common.main({'noop': noop, 'latency': latency, 'chain': chain, 'queue': queue, 'fan': fan,
             'sleep': sleep})
