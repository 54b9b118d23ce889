#!/usr/bin/env python3
"""switch.py N: a switch over port0 … portN-1 of this network namespace; see network.py.

Host number i has the hardware address 02:00:00:00:00:i. Rules come on standard input, a JSON object
a line, `done` is the answer; it ends when the input does.
    {"from": 0, "to": 1, "loss": 0.5, "delay": 0.02}

switch.py --whole-frames DEVICE: makes DEVICE send frames as a wire would see them: with checksums,
and no longer than its MTU.
"""
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
# Set: transmit checksums, scatter-gather, segmentation (TCP's and the generic one).
ETHTOOL_OFF = (0x17, 0x19, 0x1f, 0x24)
SOL_PACKET, PACKET_IGNORE_OUTGOING, ETH_P_ALL = 263, 23, 3
FRAME_MAX = 1 << 16
BUFFER_BYTES = 8 << 20


def whole_frames(device):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in ETHTOOL_OFF:
            value = ctypes.create_string_buffer(struct.pack('II', command, 0))
            request = struct.pack('16sP', device.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(sock, SIOCETHTOOL, request.ljust(40, b'\0'))
            except OSError as error:
                if command == ETHTOOL_OFF[0]:
                    sys.exit(f'cannot turn off checksum offload of {device}: {error}')


class Switch:
    def __init__(self, count):
        self.rules = {}    # (from, to) -> (loss, delay)
        self.delayed = []  # (when, number, port, frame)
        self.number = 0
        self.ports = []
        for i in range(count):
            port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            port.bind((f'port{i}', 0))
            port.setblocking(False)
            self.ports.append(port)

    def run(self):
        poll = select.epoll()
        by_fd = {port.fileno(): i for i, port in enumerate(self.ports)}
        for fd in [*by_fd, 0]:
            poll.register(fd, select.EPOLLIN)
        print('ready', flush=True)
        while True:
            for fd, _ in poll.poll(self.next_wait()):
                if fd != 0:
                    self.receive(by_fd[fd])
                elif not self.take_rules():
                    return
            self.send_due()

    def next_wait(self):
        return max(0, self.delayed[0][0] - time.monotonic()) if self.delayed else -1

    def take_rules(self):
        data = os.read(0, 1 << 16)
        while data and not data.endswith(b'\n'):
            data += os.read(0, 1 << 16)
        for line in data.splitlines():
            rule = json.loads(line)
            self.rules[rule['from'], rule['to']] = rule['loss'], rule['delay']
            print('done', flush=True)
        return bool(data)

    def receive(self, source):
        for _ in range(64):
            try:
                frame = self.ports[source].recv(FRAME_MAX)
            except (BlockingIOError, OSError):
                return
            if frame[:5] == b'\x02\0\0\0\0' and frame[5] < len(self.ports):
                self.forward(source, frame[5], frame)
            elif frame[0] & 1:
                for port in range(len(self.ports)):
                    if port != source:
                        self.forward(source, port, frame)

    def forward(self, source, port, frame):
        loss, delay = self.rules.get((source, port), (0, 0))
        if loss and random.random() < loss:
            return
        if delay:
            self.number += 1
            heapq.heappush(self.delayed, (time.monotonic() + delay, self.number, port, frame))
        else:
            self.send(port, frame)

    def send_due(self):
        while self.delayed and self.delayed[0][0] <= time.monotonic():
            _, _, port, frame = heapq.heappop(self.delayed)
            self.send(port, frame)

    def send(self, port, frame):
        try:
            self.ports[port].send(frame)
        except OSError:
            pass  # A full queue loses frames, as switches do.


if __name__ == '__main__':
    if sys.argv[1] == '--whole-frames':
        whole_frames(sys.argv[2])
    else:
        Switch(int(sys.argv[1])).run()
