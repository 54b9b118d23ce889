"""HyperQueue through its Python module: a server and one worker of two cores. A task is a process, here
`true`; there is no value to check but its end. The module looks for ends once a second: no latency."""
import common
import hyperqueue
from hyperqueue.cluster import WorkerConfig

cluster = hyperqueue.LocalCluster()
common.at_end(cluster.stop)
cluster.start_worker(WorkerConfig(cores=2))
client = cluster.client()


def run(size):
    job = hyperqueue.Job(default_workdir=common.folder)
    for _ in range(size):
        job.program(['true'])
    submitted = client.submit(job)
    common.check(client.wait_for_jobs([submitted]), 'all succeed')


def noop(size):
    return common.rate(size, lambda: run(size))


common.main({'noop': noop})
