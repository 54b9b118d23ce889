"""A Redis of our own: every write is in its append-only file, fsynced, before it is answered."""
import os
import shutil

import common


def start():
    """(its port, its process)"""
    port = common.free_port()
    directory = os.path.join(common.folder, 'redis')
    os.mkdir(directory)
    server = common.start(shutil.which('redis-server'), '--port', port, '--bind', '127.0.0.1',
                          '--dir', directory, '--save', '', '--appendonly', 'yes',
                          '--appendfsync', 'always')
    common.wait_for_port(port)
    return port, server
