#!/usr/bin/env python3
"""Checks of the tree itself: who may include whom, that every source is built, that files stay short.

Run by ctest: tidy_test.py [ROOT].
"""
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.abspath(sys.argv.pop(1) if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]) else
                       os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))

TOP_LEVEL = {'CMakeLists.txt', 'LICENSE', 'README.md', 'proto', 'hub', 'bucket', 'worker', 'cli',
             'common', 'deploy', 'tests'}
NOT_OURS = {'build', 'example.bue', 'example.py'}  # What building and trying out leaves.

# Folder: what it may include of ours, by longest prefix. `common/program` etc. are part of common.
MAY_INCLUDE = {
    'common': ('common/', 'bue/v1/'),
    'hub/scheduler': ('common/', 'hub/scheduler/'),
    'hub/storage': ('common/', 'hub/scheduler/', 'hub/storage/', 'bue/v1/'),
    'hub/service': ('common/', 'bue/v1/', 'hub/scheduler/', 'hub/storage/', 'hub/service/',
                    'hub/turn_loop.h', 'hub/outbox.h'),
    'hub': ('common/', 'bue/v1/', 'hub/'),
    'bucket': ('common/', 'bue/v1/', 'bucket/'),
    'worker': ('common/', 'bue/v1/', 'worker/'),
    'cli': ('common/', 'bue/v1/', 'hub/hub.h', 'hub/verify.h', 'bucket/bucket.h',
            'bucket/verify.h', 'worker/core/worker.h', 'cli/'),
}
# The turn loop stands beside storage, below the services.
TURN_LOOP = ('hub/turn_loop.', 'hub/outbox.')
TURN_LOOP_MAY = ('common/', 'hub/scheduler/', 'hub/storage/', 'hub/turn_loop.h', 'hub/outbox.h')

# Pure: no I/O, clock, thread, lock, log, randomness, protobuf or gRPC.
PURE = ('hub/scheduler/', 'worker/core/session.', 'worker/core/lease_table.')
IMPURE = re.compile(
    r'<(thread|mutex|shared_mutex|condition_variable|atomic|future|chrono|random|fstream|iostream'
    r'|filesystem|unistd\.h|sys/.*|grpc.*)>|"?(absl/time/clock\.h|absl/synchronization/|absl/random/'
    r'|spdlog/|grpcpp?/|rocksdb/|common/(logging|rpc|clock)\.h|google/protobuf/)|\.pb\.h')

LINES_MAX = 600
HEADERS_NEVER = re.compile(r'[<"](grpcpp?/|rocksdb/)')  # In headers that rooms offer to each other.
FRONT_DOORS = ('hub/verify.h', 'bucket/verify.h', 'common/rpc.h', 'common/hub_client/hub_client.h', 'hub/hub.h', 'bucket/bucket.h',
               'common/bucket_client/bucket_client.h', 'worker/core/worker.h', 'worker/executor.h')

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"][^>"]+[>"])', re.M)
OURS = ('common/', 'hub/', 'bucket/', 'worker/', 'cli/', 'bue/v1/', 'tests/')


def sources(*endings, below=''):
    for folder, folders, files in os.walk(os.path.join(ROOT, below)):
        folders[:] = sorted(name for name in folders
                            if not name.startswith('.') and not name.startswith('build')
                            and name not in ('node_modules', '__pycache__'))
        for name in sorted(files):
            if name.endswith(endings):
                yield os.path.relpath(os.path.join(folder, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def includes(path):
    return INCLUDE.findall(read(path))


def room_of(path):
    fitting = [room for room in MAY_INCLUDE if path.startswith(room + '/')]
    return max(fitting, key=len) if fitting else None


class TidyTest(unittest.TestCase):
    def complain(self, faults):
        self.assertFalse(faults, '\n' + '\n'.join(faults))

    def test_top_level_holds_only_the_rooms(self):
        names = {name for name in os.listdir(ROOT) if not name.startswith('.')}
        names -= {name for name in names if name in NOT_OURS or name.startswith('build-')}
        self.assertEqual(names - TOP_LEVEL, set())

    def test_includes_go_one_way(self):
        faults = []
        for path in sources('.h', '.cc'):
            room = room_of(path)
            if room is None:
                continue
            may = TURN_LOOP_MAY if path.startswith(TURN_LOOP) else MAY_INCLUDE[room]
            for include in includes(path):
                name = include[1:-1]
                if name.startswith(OURS) and not name.startswith(may):
                    faults.append(f'{path} includes {name}; {room} may include {", ".join(may)}')
        self.complain(faults)

    def test_pure_code_includes_nothing_impure(self):
        self.complain([f'{path} includes {include}'
                       for path in sources('.h', '.cc') if path.startswith(PURE)
                       for include in includes(path) if IMPURE.search(include)])

    def test_front_doors_show_no_grpc_and_no_rocksdb(self):
        self.complain([f'{path} includes {include}' for path in FRONT_DOORS
                       if os.path.exists(os.path.join(ROOT, path))
                       for include in includes(path) if HEADERS_NEVER.search(include)])

    def test_every_source_is_built(self):
        lists = {path: read(path) for path in sources('CMakeLists.txt', '.cmake')}
        faults = []
        for path in sources('.cc'):
            named = any(re.search(r'(?<![\w.-])' + re.escape(os.path.relpath(
                path, os.path.dirname(where) or '.')) + r'(?![\w.-])', text)
                for where, text in lists.items() if path.startswith(os.path.dirname(where)))
            if not named:
                faults.append(f'{path} is in no CMakeLists.txt')
        self.complain(faults)

    def test_files_stay_short(self):
        self.complain([f'{path} has {lines} lines, at most {LINES_MAX} are allowed: split it'
                       for path in sources('.h', '.cc', '.py', '.proto')
                       if (lines := read(path).count('\n')) > LINES_MAX])

    def test_headers_are_guarded_by_their_path(self):
        faults = []
        for path in sources('.h'):
            guard = 'BUE_' + re.sub(r'[^A-Z0-9]', '_', path.upper()) + '_'
            if f'#ifndef {guard}\n#define {guard}\n' not in read(path):
                faults.append(f'{path} must be guarded by {guard}')
        self.complain(faults)

    def test_files_say_what_they_are_for(self):
        self.complain([f'{path} must begin with a comment on what it is for'
                       for path in sources('.h') if not read(path).startswith('//')])

    def test_no_notes_to_oneself(self):
        self.complain([f'{path}: {word}' for path in sources('.h', '.cc', '.py', '.proto')
                       if not path.endswith('tidy_test.py')
                       for word in re.findall(r'\b(?:TODO|FIXME|XXX)\b', read(path))])


class BreakagesTest(unittest.TestCase):
    """Of the simulation: played by hand, so it is here that one is seen which fits no more."""

    def test_every_breakage_applies(self):
        folder = os.path.join('tests', 'simulation', 'breakages')
        for patch in sorted(os.listdir(os.path.join(ROOT, folder))):
            if not patch.endswith('.patch'):
                continue
            applied = subprocess.run(['git', 'apply', '--check', os.path.join(folder, patch)],
                                     cwd=ROOT, capture_output=True, text=True)
            self.assertEqual((applied.returncode, applied.stderr), (0, ''), patch)


if __name__ == '__main__':
    unittest.main()
