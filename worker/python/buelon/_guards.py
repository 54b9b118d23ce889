"""What keeps a step's doings from its companions in the same process, and from the runner itself.

A runner's own descriptors lie above those that steps close in bulk; SIGTERM and SIGINT, which are
meant for the worker, mean nothing to it; a change of directory is the calling thread's alone and
ends with its call; sys.stdout comes back when a step has taken it away.
"""
import fcntl
import os
import signal
import sys
import threading

# Steps that close a range of descriptors seldom go as far.
_FIRST_OWN_FD = 500
_CLONE_FS = 0x200
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

disturbed = set()  # Threads whose call changed the directory.
_apart = threading.local()  # .directory: this thread has one of its own.
_home = None  # Descriptor of the worker's directory.
_streams = None
_chdir, _fchdir = os.chdir, os.fchdir
_in_process = False


def install(in_process):
    """Before the first step: after sys.stdout was replaced, on the main thread."""
    global _home, _streams, _in_process
    _in_process = in_process
    _streams = sys.stdout, sys.stderr
    for number in _SIGNALS:
        signal.signal(number, _ignore)
    _home = out_of_the_way(os.open('.', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    os.chdir, os.fchdir = _change_directory, _change_directory_to_open


def _ignore(*_):
    """A service manager, or a terminal, tells the whole group; the worker ends its runners."""


def after_fork():
    """In a child that a step forked: it ends by these signals, as any process does."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _ignore:
            signal.signal(number, signal.SIG_DFL)


def out_of_the_way(fd):
    """`fd` under a number above those that steps close in bulk; the old one is closed."""
    try:
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_OWN_FD)
    except OSError:  # The system allows no such number.
        os.set_inheritable(fd, False)
        return fd
    os.close(fd)
    return moved


def with_high_descriptors(make):
    """What `make()` returns; the descriptors it opened are out of the way."""
    taken = []
    try:
        while not taken or taken[-1] < _FIRST_OWN_FD:
            taken.append(os.dup(0))
    except OSError:
        pass  # The system allows no such number.
    else:
        os.close(taken.pop())
    try:
        return make()
    finally:
        for fd in taken:
            os.close(fd)


def mend():
    """Once a call has ended, by the thread that ran it, if `disturbed` or a stream is gone."""
    if sys.stdout is None:
        sys.stdout = _streams[0]
    if sys.stderr is None:
        sys.stderr = _streams[1]
    thread = threading.get_ident()
    if thread in disturbed:
        disturbed.discard(thread)
        _fchdir(_home)


def _change_directory(path):
    _get_apart()
    _chdir(path)


def _change_directory_to_open(fd):
    _get_apart()
    _fchdir(fd)


def _get_apart():
    """From here on the directory is this thread's alone."""
    main = threading.current_thread() is threading.main_thread()
    if main and not _in_process:
        raise RuntimeError('an `async def` step can not change the directory: it shares its thread '
                           'with other steps; use `!mode thread`, or whole paths')
    if not main and not getattr(_apart, 'directory', False):
        _unshare_directory()
        _apart.directory = True
    disturbed.add(threading.get_ident())


def _unshare_directory():
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_FS) != 0:
        raise OSError(ctypes.get_errno(), 'this system lets no thread have a directory of its own; '
                                          'use `!mode process`, or whole paths')
