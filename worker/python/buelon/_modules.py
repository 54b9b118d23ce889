"""Where steps' modules come from: exactly the uploaded files, and inline code.

A run's files form a file set, named by its private directory (the name says the content). Each set
is a package `bue_<hash>` in sys.modules, so two runs' `steps.py` never meet, each module is loaded
once per runner and content, and pickles of its classes mean the same in every runner. A module of
a set sees its neighbours by their plain names: its `import` statement looks beside it and at the
set's root first, and everything else stays what it is. Inline code is a module of its set, named
by its text.
"""
import builtins
import hashlib
import importlib
import importlib.machinery
import importlib.util
import linecache
import os
import posixpath
import sys
import textwrap
import threading
import urllib.parse

_PREFIX = 'bue_'
_sets = {}  # Package name -> FileSet
_sets_lock = threading.Lock()


class FileSet:
    """The uploaded files of runs with equal files."""

    def __init__(self, directory):
        self.directory = directory
        self.package = _PREFIX + _hash(os.path.basename(directory.rstrip('/')))
        self.inline = {}     # Module name -> source text
        self.steps = set()   # Numbers of the steps that use the set.
        self.loaded = {}     # What steps call, once loaded: kept by Step.
        self.hooked = {}     # Module name -> its finalize hook, or None: kept by Step.
        self.hook_locks = {}  # Module name -> who holds it runs its start hook.
        self._builtins = {}  # Package -> the builtins of its modules
        self._found = {}     # (package, name) -> full name or None

    def module_name(self, path):
        """The module of an uploaded file, whatever characters its path has."""
        path = posixpath.normpath(path)
        if path.endswith('.py'):
            path = path[:-3]
        return '.'.join([self.package] + [_escape(part) for part in path.split('/')])

    def inline_name(self, code):
        name = f'{self.package}.inline_{_hash(code)}'
        self.inline[name] = code
        return name

    def resolve(self, package, name):
        """The full name of what `import name` in a module of `package` means; None: not ours."""
        key = (package, name.partition('.')[0])
        if key not in self._found:
            self._found[key] = next(
                (base for base in dict.fromkeys((package, self.package))
                 if self._has(base, key[1])), None)
        base = self._found[key]
        return base and f'{base}.{name}'

    def builtins_for(self, package):
        found = self._builtins.get(package)
        if found is None:
            found = dict(vars(builtins), __import__=_import_for(self, package))
            self._builtins[package] = found
        return found

    def _has(self, package, name):
        if not self.directory:
            return False
        parts = [_unescape(part) for part in package.split('.')[1:]]
        path = os.path.join(self.directory, *parts, name)
        if os.path.isfile(path + '.py'):
            return True
        return os.path.isdir(path) and any(file.endswith('.py') for file in os.listdir(path))


def file_set(directory, step=None):
    """The set of a private directory; `step` uses it from now on."""
    made = FileSet(directory)
    with _sets_lock:
        files = _sets.setdefault(made.package, made)
        if step is not None:
            files.steps.add(step)
        return files


def leave(files, step):
    """`step` uses the set no more. True if nobody does: then the set is gone, and its modules with
    it. Functions still running keep what they refer to."""
    with _sets_lock:  # At once: who comes next with equal files loads them anew.
        files.steps.discard(step)
        if files.steps or _sets.get(files.package) is not files:
            return False
        del _sets[files.package]
        inside = files.package + '.'
        for name in [name for name in list(sys.modules)
                     if name == files.package or name.startswith(inside)]:
            del sys.modules[name]
        return True


def load_file(files, path):
    return importlib.import_module(files.module_name(path))


def load_inline(files, code):
    return importlib.import_module(files.inline_name(code))


# --- Pickles of inline code ---------------------------------------------------------------------


def reduce_inline(o):
    """How a class or function of inline code is pickled: with the code."""
    package, _, _ = o.__module__.partition('.')
    files = _sets.get(package)
    code = files and files.inline.get(o.__module__)
    if code is None or '<locals>' in o.__qualname__ or not (
            isinstance(o, type) or type(o).__name__ == 'function'):
        return NotImplemented
    return _restore_inline, (package, files.directory, code, o.__qualname__)


def _restore_inline(package, directory, code, qualname):
    found = load_inline(_sets.get(package) or file_set(directory), code)
    for name in qualname.split('.'):
        found = getattr(found, name)
    return found


# --- The machinery ------------------------------------------------------------------------------


class _FileLoader(importlib.machinery.SourceFileLoader):
    """Loads an uploaded file; writes no bytecode beside it."""

    def set_data(self, path, data, *, _mode=0o666):
        pass

    def exec_module(self, module):
        _bind(module)
        super().exec_module(module)


class _InlineLoader:  # Not importlib.abc's: that takes 10 ms to import.
    def __init__(self, code):
        self._code = code

    def get_source(self, fullname):
        return self._code

    def get_code(self, fullname):
        file = f'<{fullname.rpartition(".")[2]}>'
        linecache.cache[file] = (len(self._code), None, self._code.splitlines(True), file)
        try:
            return compile(self._code, file, 'exec', dont_inherit=True)
        except IndentationError:  # The whole block may be indented with its script.
            return compile(textwrap.dedent(self._code), file, 'exec', dont_inherit=True)

    def is_package(self, fullname):
        return False

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        _bind(module)
        exec(self.get_code(module.__name__), module.__dict__)


class _Finder:
    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith(_PREFIX):
            return None
        package, _, rest = fullname.partition('.')
        files = _sets.get(package)
        if files is None:
            return None
        if not rest:
            return _directory_spec(fullname, files.directory)
        if fullname in files.inline:
            return importlib.machinery.ModuleSpec(fullname, _InlineLoader(files.inline[fullname]))
        name = fullname.rpartition('.')[2]
        for directory in path or ():
            found = _find_in(directory, fullname, _unescape(name), escaped='%' in name)
            if found is not None:
                return found
        return None  # Extension modules and the like: Python's own finders look next.


def _find_in(directory, fullname, name, escaped):
    base = os.path.join(directory, name)
    init = os.path.join(base, '__init__.py')
    if os.path.isfile(init):
        return importlib.util.spec_from_file_location(
            fullname, init, loader=_FileLoader(fullname, init), submodule_search_locations=[base])
    for file in (base + '.py', base) if escaped else (base + '.py',):
        if os.path.isfile(file):
            return importlib.util.spec_from_file_location(
                fullname, file, loader=_FileLoader(fullname, file))
    return _directory_spec(fullname, base) if os.path.isdir(base) else None


def _directory_spec(fullname, directory):
    spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = [directory] if directory else []
    return spec


def _bind(module):
    name = module.__spec__.name
    package = name if module.__spec__.submodule_search_locations is not None else (
        name.rpartition('.')[0])
    files = _sets[name.partition('.')[0]]
    module.__dict__['__builtins__'] = files.builtins_for(package)


def _import_for(files, package):
    plain = builtins.__import__

    def __import__(name, globals=None, locals=None, fromlist=(), level=0):
        full = files.resolve(package, name) if level == 0 else None
        if full is None:
            return plain(name, globals, locals, fromlist, level)
        if fromlist:
            return plain(full, globals, locals, fromlist, 0)
        importlib.import_module(full)
        return sys.modules[full[:len(full) - len(name)] + name.partition('.')[0]]

    return __import__


def _import_module(name, package=None, plain=importlib.import_module):
    """importlib.import_module, for modules of file sets as their import statement."""
    own = sys._getframe(1).f_globals.get('__name__', '')
    if isinstance(own, str) and own.startswith(_PREFIX) and not name.startswith('.'):
        files = _sets.get(own.partition('.')[0])
        full = files and files.resolve(own.rpartition('.')[0], name)
        if full:
            return plain(full)
    return plain(name, package)


def install():
    """Called once, before any step's module is loaded."""
    sys.meta_path.insert(0, _Finder())
    importlib.import_module = _import_module


def _hash(text):
    return hashlib.blake2s(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]


def _escape(part):
    """A path's part as a module name's part. '.' would split it."""
    return part.replace('%', '%25').replace('.', '%2E')


def _unescape(part):
    return urllib.parse.unquote(part) if '%' in part else part
