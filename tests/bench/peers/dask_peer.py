"""Dask distributed: a scheduler and two workers of one thread each; nothing is durable. What sleeps is a
coroutine, which workers run at once."""
import common
import dask
import distributed
import tasks

port = common.free_port()
dask.config.set({'distributed.scheduler.worker-saturation': 'inf'})
scheduler = common.start_module('distributed.cli.dask_scheduler', '--host', '127.0.0.1', '--port',
                                port, '--no-dashboard',
                                env={'DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION': 'inf'})
common.wait_for_port(port)


def connect(workers=2, threads=1):
    for _ in range(workers):
        common.start_module('distributed.cli.dask_worker', f'tcp://127.0.0.1:{port}', '--nthreads',
                            threads, '--no-dashboard', '--nworkers', 1)
    client = distributed.Client(f'tcp://127.0.0.1:{port}')
    if workers:
        client.wait_for_workers(workers)
        client.submit(tasks.same, 7).result()
    return client


def values(client, function, size):
    futures = client.map(function, range(size), pure=False)
    common.check(client.gather(futures) == list(range(size)), 'all have their value')


def noop(size):
    client = connect()
    return common.rate(size, lambda: values(client, tasks.same, size))


def latency(size):
    client = connect()
    return common.latencies(size, lambda: common.check(
        client.submit(tasks.same, 7, pure=False).result() == 7, '7'))


def chain(size):
    client = connect()

    def work():
        data = ''
        for _ in range(common.CHAIN):
            data = client.submit(tasks.grow, data, pure=False)
        common.check(len(data.result()) == common.PAYLOAD, 'the payload is whole')
    return common.latencies(size, work)


def queue(size):
    client = connect(workers=0)
    futures = []

    def work():
        futures.extend(client.map(tasks.same, range(size), pure=False))
        common.wait_until(lambda: client.run_on_scheduler(
            lambda dask_scheduler: len(dask_scheduler.tasks)) >= size)
    return common.queued(size, scheduler.pid, work)


def fan(size):
    client = connect()

    def work():
        futures = client.map(tasks.same, range(size), pure=False)
        common.check(client.submit(tasks.total, futures, pure=False).result() == sum(range(size)),
                     'the sum')
    return {'time': common.seconds(work)}


def sleep(size):
    client = connect(threads=size)
    return {'time': common.seconds(lambda: values(client, tasks.sleep_async, size))}


common.main({'noop': noop, 'latency': latency, 'chain': chain, 'queue': queue, 'fan': fan,
             'sleep': sleep})
