"""A gearmand of our own with workers of our own."""
import os
import shutil

import common


class Server:
    def __init__(self, *options):
        self.port = common.free_port()
        self.process = common.start(shutil.which('gearmand'), '--listen', '127.0.0.1', '--port',
                                    self.port, '--log-file', 'stderr', *options)
        common.wait_for_port(self.port)
        self._notes = []

    def start_workers(self):
        for number in range(2):
            note = os.path.join(common.folder, f'note-{number}')
            self._notes.append(note)
            common.start_module('gearman_worker', self.port, note)
            common.wait_until(lambda: os.path.exists(note))

    def done(self):
        """(how many values the workers were given, their sum), as of when they had nothing to do."""
        found = []
        for note in self._notes:
            with open(note) as file:
                found.append([int(word) for word in file.read().split()] or [0, 0])
        return tuple(map(sum, zip(*found)))
