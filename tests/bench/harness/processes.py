"""What /proc knows about processes: CPU time, memory, wake-ups, children.

Everything here bears a process that ends meanwhile: it counts as nothing.
"""
import os
import re

TICKS = os.sysconf('SC_CLK_TCK')


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ''


def _stat(pid):
    """The fields of /proc/PID/stat behind the name, which may hold anything."""
    return _read(f'/proc/{pid}/stat').rpartition(')')[2].split()


def own_cpu_s(pid):
    """CPU seconds of the process and its threads."""
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / TICKS if stat else 0.0


def children_cpu_s(pid):
    """CPU seconds of everything that the process started: what still runs and what it saw end."""
    stat = _stat(pid)
    ended = (int(stat[13]) + int(stat[14])) / TICKS if stat else 0.0
    return ended + sum(own_cpu_s(child) + children_cpu_s(child) for child in children(pid))


def children(pid):
    found = []
    for task in _threads(pid):
        found += map(int, _read(f'/proc/{pid}/task/{task}/children').split())
    return found


def descendants(pid):
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


def _threads(pid):
    try:
        return os.listdir(f'/proc/{pid}/task')
    except FileNotFoundError:
        return []


def _status(path, name):
    match = re.search(rf'^{name}:\s+(\d+)', _read(path), re.M)
    return int(match.group(1)) if match else 0


def memory_bytes(pid):
    return 1024 * _status(f'/proc/{pid}/status', 'VmRSS')


def peak_bytes(pid):
    """The most memory it had since its start, or since the last forget_peak()."""
    return 1024 * _status(f'/proc/{pid}/status', 'VmHWM')


def forget_peak(pid):
    try:
        with open(f'/proc/{pid}/clear_refs', 'w') as file:
            file.write('5')
    except (FileNotFoundError, ProcessLookupError):
        pass


def wake_ups(pid):
    """How often its threads waited for something and were woken."""
    return sum(_status(f'/proc/{pid}/task/{task}/status', 'voluntary_ctxt_switches')
               for task in _threads(pid))


def machine_busy_s():
    """CPU seconds of everything on this machine since it started, without waiting for disks."""
    fields = [int(field) for field in _read('/proc/stat').split('\n', 1)[0].split()[1:]]
    user, nice, system, _, _, interrupts, soft_interrupts = fields[:7]
    return (user + nice + system + interrupts + soft_interrupts) / TICKS


def ours_busy_s():
    """CPU seconds of this process and of all below it that have ended and were waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
