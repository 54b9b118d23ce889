"""Ray: two processes on two cores; nothing is durable. What sleeps is a coroutine of one actor."""
import common
import ray
import tasks

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False,
         runtime_env={'env_vars': {'PYTHONPATH': common.HERE}})
common.at_end(ray.shutdown)
same = ray.remote(tasks.same)
grow = ray.remote(tasks.grow)
total = ray.remote(lambda *values: tasks.total(values))


@ray.remote
class Sleeper:
    async def sleep(self, x):
        return await tasks.sleep_async(x)


ray.get([same.remote(7) for _ in range(100)])  # Starts its processes.


def noop(size):
    return common.rate(size, lambda: common.check(
        ray.get([same.remote(x) for x in range(size)]) == list(range(size)), 'values'))


def latency(size):
    return common.latencies(size, lambda: common.check(ray.get(same.remote(7)) == 7, '7'))


def chain(size):
    def work():
        data = ''
        for _ in range(common.CHAIN):
            data = grow.remote(data)
        common.check(len(ray.get(data)) == common.PAYLOAD, 'the payload is whole')
    return common.latencies(size, work)


def fan(size):
    return {'time': common.seconds(lambda: common.check(
        ray.get(total.remote(*[same.remote(x) for x in range(size)])) == sum(range(size)), 'sum'))}


def sleep(size):
    sleeper = Sleeper.options(max_concurrency=size).remote()
    ray.get(sleeper.sleep.remote(7))
    return {'time': common.seconds(lambda: common.check(
        ray.get([sleeper.sleep.remote(x) for x in range(size)]) == list(range(size)), 'values'))}


common.main({'noop': noop, 'latency': latency, 'chain': chain, 'fan': fan, 'sleep': sleep})
