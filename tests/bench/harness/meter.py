"""Meter: what a cluster's processes use between two moments."""
from harness import processes
from harness.figures import Figure

MB = 1 << 20


class Meter:
    """CPU time and peak memory of each role while the `with` block runs. A worker's Python runners
    are a role of their own.

    `roles`: {name: its processes' ids}, as stage.Stage.pids() gives them.
    """

    def __init__(self, roles):
        self.roles = roles

    def __enter__(self):
        for pids in self._with_runners().values():
            for pid in pids:
                processes.forget_peak(pid)
        self.memory_before = self._memory(processes.memory_bytes)
        self._cpu_before = self._cpu()
        return self

    def __exit__(self, *_):
        after = self._cpu()
        self.cpu_s = {role: after[role] - self._cpu_before[role] for role in after}
        self.peak = self._memory(processes.peak_bytes)

    def _with_runners(self):
        runners = [child for pid in self.roles.get('worker', ())
                   for child in processes.descendants(pid)]
        return {**self.roles, 'runners': runners} if 'worker' in self.roles else self.roles

    def _cpu(self):
        cpu = {role: sum(map(processes.own_cpu_s, pids)) for role, pids in self.roles.items()}
        if 'worker' in cpu:
            cpu['runners'] = sum(map(processes.children_cpu_s, self.roles['worker']))
        return cpu

    def _memory(self, read):
        return {role: sum(map(read, pids)) for role, pids in self._with_runners().items()}

    def per_task(self, tasks):
        """CPU time of a task, in all and by role."""
        each = {role: 1e6 * seconds / tasks for role, seconds in self.cpu_s.items()}
        return [Figure('CPU in all', sum(each.values()), 'us/task')] + [
            Figure(f'CPU {role}', value, 'us/task') for role, value in each.items()]

    def peaks(self):
        return [Figure(f'memory {role}', value / MB, 'MB') for role, value in self.peak.items()]

    def growth_bytes(self, role):
        """How far above its memory before the block the role went."""
        return max(0, self.peak[role] - self.memory_before[role])
