"""Broken scripts: every command that takes one refuses it with exit code 2, a line and a reason."""
import json

from cluster import ClusterTest, main

STEP = 's:\n    python\n    f\n    `\ndef f(*a):\n    return 1\n    `\n'

# script, what the message must hold
BROKEN = {
    'unknown pipe': (STEP + 'p = | s\nq()\n', 'q'),
    'unknown step in a pipe': ('p = a | b\np()\n', 'a'),
    'unknown value': (STEP + 'p = | s\np(x)\n', 'x'),
    'unknown directive': ('!scoop x\n' + STEP, 'scope'),
    'unknown language': ('s:\n    pyton\n    f\n    steps.py\n', 'pyton'),
    'priority is no number': ('!priority high\n' + STEP, 'priority'),
    'priority too large': ('!priority 99999999999\n' + STEP, 'priority'),
    'timeout of zero': ('!timeout 0\n' + STEP, 'timeout'),
    'timeout too hard to compute': ('!timeout 9**9**9\n' + STEP, 'timeout'),
    'timeout divides by zero': ('!timeout 1/0\n' + STEP, 'timeout'),
    'retries is no number': ('!retries many\n' + STEP, 'retries'),
    'mode unknown': ('!mode fiber\n' + STEP, 'mode'),
    'block not closed': ('s:\n    python\n    f\n    `\ndef f():\n    pass\n', '`'),
    'step without a source': ('s:\n    python\n    f\n', 's'),
    'literal as an argument': (STEP + 'p = | s\np(1)\n', '1'),
    'nested call': (STEP + 'p = | s\nx = p(p())\n', 'p'),
    'loop without a body': (STEP + 'p = | s\nfor x in p():\n', 'body'),
    'loop on one line': (STEP + 'p = | s\nfor x in p(): p(x)\n', 'line'),
    'condition': (STEP + 'p = | s\nif p():\n    p()\n', 'if'),
    'values in a circle': (STEP + 'p = | s\na = p(b)\nb = p(a)\n', 'a'),
    'loop variable after its loop': (STEP + 'p = | s\nfor x in p():\n    p(x)\np(x)\n', 'x'),
    'file is missing': ('s:\n    python\n    f\n    gone.py\n', 'gone.py'),
    'import list not closed': ('import python (\n    f as s\n', '('),
}


class BrokenScriptTest(ClusterTest):
    def test_run_check_and_upload_refuse_them(self):
        for name, (text, mentions) in BROKEN.items():
            with self.subTest(name):
                self.write('broken.bue', text)
                done = self.run_local('broken.bue', code=2, limit_s=60)
                self.assertRegex(done.stderr, r'broken\.bue:\d+:\d+: error: ')
                self.assertIn(mentions, done.stderr)
                self.assertEqual(done.stdout, '')

    def test_check_reports_them_as_json(self):
        for name, (text, _) in BROKEN.items():
            with self.subTest(name):
                self.write('broken.bue', text)
                report = json.loads(self.bue('check', '--json', 'broken.bue', code=2).stdout)
                self.assertFalse(report['ok'])
                self.assertGreater(report['diagnostics'][0]['line'], 0)

    def test_upload_refuses_before_it_looks_for_a_hub(self):
        text, mentions = BROKEN['unknown pipe']
        self.write('broken.bue', text)
        done = self.bue('upload', '-f', 'broken.bue', '-b', '127.0.0.1:1', '--timeout', 600,
                        code=2, limit_s=60)
        self.assertIn(mentions, done.stderr)

    def test_all_errors_come_at_once(self):
        self.write('broken.bue', '!scoop x\n' + STEP + 'a()\nb()\n')
        done = self.bue('check', 'broken.bue', code=2)
        self.assertEqual(done.stderr.count('error:'), 3, done.stderr)


if __name__ == '__main__':
    main()
