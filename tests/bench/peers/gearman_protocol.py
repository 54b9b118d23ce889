"""Gearman's binary protocol, as much of it as the peers need: gearmand's own libraries have no Python
module in PyPI or Debian that works with Python 3."""
import socket
import struct

CAN_DO, PRE_SLEEP, NOOP = 1, 4, 6
SUBMIT_JOB, JOB_CREATED, GRAB_JOB, NO_JOB, JOB_ASSIGN = 7, 8, 9, 10, 11
WORK_COMPLETE, SUBMIT_JOB_BG = 13, 18


class Connection:
    def __init__(self, port):
        self._socket = socket.create_connection(('127.0.0.1', port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b''

    def send(self, *packets):
        """Each packet is (type, argument, ...); the last argument may hold anything."""
        self._socket.sendall(b''.join(
            b'\0REQ' + struct.pack('>II', kind, len(body)) + body
            for kind, body in ((packet[0], b'\0'.join(packet[1:])) for packet in packets)))

    def receive(self):
        """(type, body) of the next packet."""
        kind, size = struct.unpack('>II', self._take(12)[4:])
        return kind, self._take(size)

    def _take(self, size):
        while len(self._received) < size:
            more = self._socket.recv(1 << 20)
            if not more:
                raise ConnectionError('gearmand has gone')
            self._received += more
        taken, self._received = self._received[:size], self._received[size:]
        return taken
