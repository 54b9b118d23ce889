"""Steps as the runner knows them: their module, function, hooks, and where their calls run."""
import asyncio
import collections.abc
import functools
import inspect
import threading
import typing

from buelon import _modules
from buelon import _refills
from buelon._errors import StepError

# Pools of worker/types.h: what a step without `!mode` turns out to be.
ASYNC, THREAD, PROCESS = range(3)
MODES = ('auto', 'async', 'thread', 'process')

mut = {}  # What steps with a `mut` parameter share, per runner.


class Step:
    def __init__(self, info, in_process):
        self.number = info['number']
        self.run = info['run']
        self.index = info['index']
        self.name = info['name']
        self.relation = info['function']
        self.path = info['path']
        self.code = info['code']
        self.script = info['script']
        self.mode = MODES[info['mode']]
        self.start_is_step = info['start_is_step']
        self.finalize_is_step = info['finalize_is_step']
        self.refill = info['refill']
        self.files = _modules.file_set(info['files_dir'], self.number)
        self.lane = None     # ASYNC or THREAD once loaded.
        self.call = None     # What the arguments go to.
        self.line = 1        # Where the function begins.
        self.waiting = []    # Calls that came before it was loaded.
        self.loading = False
        self.lock = threading.Lock()  # Guards waiting, loading and lane's change.
        inline = self.code and self.files.inline_name(self.code)
        self._kind = (self.path, inline, self.relation, self.mode, self.start_is_step,
                      self.finalize_is_step, self.refill)
        self._in_process = in_process
        self._load_lock = threading.Lock()
        self._iterators = ()

    def load(self, await_in_loop):
        """Imports the module, runs its start hook, and finds the function, once. Raises StepError,
        or whatever the module raised."""
        with self._load_lock:
            if self.lane is None:
                self._load(await_in_loop)

    def _load(self, await_in_loop):
        module = (_modules.load_file(self.files, self.path) if self.path
                  else _modules.load_inline(self.files, self.code))
        self._run_start_hook(module, await_in_loop)
        function = self._find(module)
        parameters = _parameters(function)
        iterators = _iterator_positions(parameters, module)
        is_async = _is_async(function)
        lane = self._choose_lane(is_async)
        line = getattr(getattr(function, '__code__', None), 'co_firstlineno', 1)
        call = function
        if any(p.name == 'mut' for p in parameters):
            call = functools.partial(call, mut=mut)
        if self.refill:
            call = _refills.giving_batches(call, is_async)
        if is_async and lane == THREAD:
            call = functools.partial(_run_to_end, call)
        self.files.loaded[self._kind] = (call, line, iterators, lane)
        self.take_loaded()

    def take_loaded(self):
        """True if what this step calls was loaded before: for itself, or for another run with equal
        files. Then it is loaded."""
        loaded = self.files.loaded.get(self._kind)
        if loaded is None:
            return False
        self.call, self.line, self._iterators, self.lane = loaded
        return True

    def wants_iterator(self, position):
        return position in self._iterators or (
            -1 in self._iterators and position >= max(self._iterators, default=0))

    @property
    def place(self):
        """The step's source as people know it."""
        return self.path or f'{self.script}, step {self.name}'

    def readable(self, text):
        """`text` (a traceback) with the names that people know for private ones."""
        if self.files.directory:
            text = text.replace(self.files.directory.rstrip('/') + '/', '')
        if not self.path:
            inline = self.files.inline_name(self.code)
            text = text.replace(f'<{inline.rpartition(".")[2]}>', f'<{self.place}>')
        return text.replace(self.files.package + '.', '')

    def _choose_lane(self, is_async):
        if self._in_process or self.mode == 'thread':
            return THREAD
        if self.mode == 'async':
            return ASYNC
        return ASYNC if is_async else THREAD

    def _find(self, module):
        try:
            function = getattr(module, self.relation)
        except AttributeError:
            names = [n for n, o in vars(module).items() if callable(o) and not n.startswith('_')]
            import difflib  # Slow to import, and seldom needed.
            near = difflib.get_close_matches(self.relation, names, 1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise StepError('load', f'{self.place}: no function {self.relation!r}{hint}') from None
        if not callable(function):
            raise StepError('load', f'{self.place}: {self.relation!r} is of type '
                                    f'{type(function).__name__}, not a function')
        return function

    def _run_start_hook(self, module, await_in_loop):
        name = module.__name__
        with self.files.hook_locks.setdefault(name, threading.Lock()):
            if name in self.files.hooked:
                return
            start = None if self.start_is_step else _hook(module, 'start')
            if start is not None:
                try:
                    result = start()
                    if inspect.isawaitable(result):
                        await_in_loop(result)
                except BaseException as error:
                    error.buelon_action = 'start'
                    raise
            self.files.hooked[name] = None if self.finalize_is_step else _hook(module, 'finalize')


def finalize(files, await_in_loop, on_error):
    """Runs the finalize hooks of a file set's modules."""
    for hook in [hook for hook in list(files.hooked.values()) if hook is not None]:
        try:
            result = hook()
            if inspect.isawaitable(result):
                await_in_loop(result)
        except BaseException as error:
            on_error(error)


def _hook(module, name):
    hook = vars(module).get(name)
    if not inspect.isfunction(hook) or hook.__module__ != module.__name__:
        return None
    return None if _parameters(hook) else hook


def _parameters(function):
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):  # Built-in functions may have no signature.
        return []


def _is_async(function):
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = getattr(type(function), '__call__', function)
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


# --- Fan-in parameters --------------------------------------------------------------------------


def _iterator_positions(parameters, module):
    """Positions of the parameters annotated Iterator or Iterable. -1 with the last one's position:
    it is *args, and so are all that follow."""
    found = set()
    for position, p in enumerate(parameters):
        if p.annotation is p.empty or not _is_iterator(p.annotation, module):
            continue
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            found.add(position)
        elif p.kind == p.VAR_POSITIONAL:
            found.update((-1, position))
    return frozenset(found)


def _is_iterator(annotation, module):
    if isinstance(annotation, str):
        text = annotation
        try:
            annotation = eval(text, vars(module))
        except Exception:  # Names that only type checkers know.
            return text.partition('[')[0].rpartition('.')[2].strip() in ('Iterator', 'Iterable')
    origin = typing.get_origin(annotation) or annotation
    return origin in (collections.abc.Iterator, collections.abc.Iterable)


# --- Coroutines outside the event loop ----------------------------------------------------------

_own = threading.local()


def own_loop():
    """This thread's event loop, for async steps that run in a thread or process."""
    loop = getattr(_own, 'loop', None)
    if loop is None or loop.is_closed():
        loop = _own.loop = asyncio.new_event_loop()
    return loop


def _run_to_end(function, *args):
    return run_here(function(*args))


def run_here(value):
    """Awaits `value` in this thread if it is awaitable; an async generator becomes a plain one."""
    if inspect.isasyncgen(value):
        return _as_generator(value)
    if inspect.isawaitable(value):
        return own_loop().run_until_complete(_awaited(value))
    return value


async def _awaited(value):
    return await value


def _as_generator(values):
    loop = own_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(_awaited(values.__anext__()))
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(values.aclose())
