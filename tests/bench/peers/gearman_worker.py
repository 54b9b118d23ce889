"""A Gearman worker: gearman_worker.py PORT NOTE. Whenever it has nothing to do it writes to the file
NOTE how many values `same` was given and their sum, for who cannot be told results."""
import sys

import tasks
from gearman_protocol import (CAN_DO, GRAB_JOB, JOB_ASSIGN, NO_JOB, PRE_SLEEP, WORK_COMPLETE,
                              Connection)

FUNCTIONS = {
    b'same': lambda data: b'%d' % tasks.same(int(data)),
    b'grow': lambda data: tasks.grow(data.decode()).encode(),
    b'total': lambda data: b'%d' % tasks.total(map(int, data.split())),
}

server = Connection(int(sys.argv[1]))
server.send(*((CAN_DO, name) for name in FUNCTIONS), (GRAB_JOB,))
count = values = 0
while True:
    kind, body = server.receive()
    if kind == JOB_ASSIGN:
        handle, name, data = body.split(b'\0', 2)
        server.send((WORK_COMPLETE, handle, FUNCTIONS[name](data)), (GRAB_JOB,))
        if name == b'same':
            count, values = count + 1, values + int(data)
    elif kind == NO_JOB:
        with open(sys.argv[2], 'w') as note:
            note.write(f'{count} {values}\n')
        server.send((PRE_SLEEP,))
    else:
        server.send((GRAB_JOB,))  # It was woken.
