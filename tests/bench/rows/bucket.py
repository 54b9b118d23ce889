"""Rows: what a bucket takes and gives, beside a plain file on its disk."""
import json
import os
import subprocess
import time

from harness.figures import Figure, Goal
from harness.meter import MB, Meter
from harness.row import Row


def disk(folder, bytes_in_all):
    """(MiB written a second, MiB read back a second, fsyncs of 4 KiB a second) of a plain file."""
    path = os.path.join(folder, 'plain')
    piece = os.urandom(MB)
    pieces = max(1, bytes_in_all // MB)
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        began = time.monotonic()
        for _ in range(pieces):
            os.write(file, piece)
        os.fdatasync(file)
        written = time.monotonic()
        os.lseek(file, 0, os.SEEK_SET)
        while os.read(file, MB):
            pass
        read = time.monotonic()
        for _ in range(200):
            os.write(file, piece[:4096])
            os.fdatasync(file)
        synced = time.monotonic()
    finally:
        os.close(file)
        os.unlink(path)
    return pieces / (written - began), pieces / (read - written), 200 / (synced - read)


def objects(size, count):
    """The measurement of so many objects put into a bucket and got back."""
    def measure(bench):
        many = bench.scaled(count)
        with bench.stage() as stage:
            bucket = stage.cluster.start_bucket()
            writes, reads, fsyncs = disk(stage.cluster.folder, many * size)
            client = [os.path.join(bench.tools, 'bucket_bench'), bucket.address, str(size), str(many)]
            with Meter({'bucket': [bucket.pid]}) as meter:
                took = json.loads(subprocess.run(client, capture_output=True, text=True, check=True,
                                                 timeout=600).stdout)
        put, get = (many * size / MB / took[what] for what in ('put_s', 'get_s'))
        return [Figure('put', put, 'MiB/s'), Figure('get', get, 'MiB/s'),
                Figure('put and get', many / (took['put_s'] + took['get_s']), '/s'),
                Figure('plain file, write', writes, 'MiB/s'),
                Figure('plain file, read', reads, 'MiB/s'),
                Figure('plain file, fsyncs', fsyncs, '/s'),
                Figure('put to plain file', put / writes, ''),
                Figure('CPU bucket', 1e6 * meter.cpu_s['bucket'] / many, 'us each'), *meter.peaks()]
    return measure


HOW = ('`bue bucket` and one client; batches of at most 100 objects or 1 MiB, what is larger than 256 KiB is '
       'streamed 4 at once; all is compared; plain file: the same bytes in the same folder, one fsync at '
       'the end, read from the page cache')

ROWS = [
    Row('bucket-1k', 'objects of 1 KiB', HOW, objects(1 << 10, 400_000),
        goals=(Goal('put and get', '>=', 100_000),)),
    Row('bucket-64k', 'objects of 64 KiB', HOW, objects(64 << 10, 8000)),
    Row('bucket-1m', 'objects of 1 MiB', HOW, objects(1 << 20, 1000),
        goals=(Goal('put', '>=', 350), Goal('get', '>=', 1024))),
    Row('bucket-1g', 'an object of 1 GiB', HOW, objects(1 << 30, 1), rounds_max=1),
]
