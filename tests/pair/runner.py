# SPDX-License-Identifier: GPL-2.0-only
"""Runs scenarios one after the other on the same guests; boots new ones where a guest did not survive."""

import fcntl
import shutil
import signal
import sys
import time
import traceback

from guests import CommandFailed, GuestLost, TimeLimit

from .scenario import Failed

EXPECTED_FAILURES = (Failed, CommandFailed, GuestLost, TimeLimit)
# What a node is told to tell about itself when a scenario fails: the last part says where in the kernel each process stands.
STATE = """
cat /proc/drbd; drbdsetup show; drbdsetup-84 events2 --now all
ps -eo pid,ppid,stat,wchan:30,args
for process in /proc/[0-9]*; do
    stack=$(cat $process/stack 2>/dev/null)
    [ -z "$stack" ] || echo "--- ${process#/proc/} $(cat $process/comm)
$stack"
done
"""
_locks = []


class Runner:
    """Prints one line for each scenario, and more under those that fail."""

    def __init__(self, cluster, logs, keep=False, look=False, until=None):
        self.cluster = cluster
        self.logs = logs
        self.keep = keep  # stop at the first failure, and touch nothing after it
        self.look = look  # nor after the last scenario
        self.until = until  # begin none after this time of the clock
        self.passed = []
        self.failed = []

    def run(self, scenarios):
        """Runs all; answers whether all passed."""
        for number, scenario in enumerate(scenarios):
            if self.until is not None and time.time() > self.until:
                print(f"left out: {len(scenarios) - number} of {len(scenarios)} scenarios, for lack of time, from {scenario.title} on", flush=True)
                break
            self._one(scenario, self.look and scenario is scenarios[-1])
            if self.keep and self.failed:
                break
        if not self.keep:
            self._look_for_leaks()
            self._look_at_lockdep()
        return not self.failed

    def _look_for_leaks(self):
        """On kernels that remember who asked for memory: nothing is left of the drivers that were unloaded."""
        for node in self.cluster.running():
            if leaks := node.leaks():
                self.failed.append(f"{node.name}: memory was not given back")
                self.logs.mkdir(parents=True, exist_ok=True)
                (self.logs / f"leaks.{node.name}.log").write_text("\n\n".join(leaks))
                print(f"FAILED {len(leaks)} places of {node.name} kept memory: {self.logs / f'leaks.{node.name}.log'}\n{leaks[0]}", flush=True)

    def _look_at_lockdep(self):
        """On kernels that have it: nothing made it end before the last scenario did."""
        for node in self.cluster.running():
            if node.locks_are_watched() is False:
                self.failed.append(f"{node.name}: lockdep has ended")
                print(f"FAILED {node.name}: lockdep had ended before the scenarios", flush=True)

    def _one(self, scenario, leave):
        started = time.monotonic()
        problem = _within(scenario.limit * self.cluster.patience, self._play, scenario)
        complaints = [f"{node.name}: {line}" for node in self.cluster.nodes for line in node.complaints()]
        if problem is None and complaints:
            problem = "the kernel complained"
        if problem is not None or complaints:
            self._keep_logs(scenario)
        leftover = None if leave or (self.keep and problem) else _within(120 * self.cluster.patience, self.cluster.clean)
        if problem is None and leftover is not None:
            problem = f"cleaning up after it: {leftover}"
            self._keep_logs(scenario)
        if (complaints or leftover is not None) and not self.keep and not leave:
            self.cluster.power_cut()
        seconds = time.monotonic() - started
        (self.passed if problem is None else self.failed).append(scenario.title)
        print(f"{'ok    ' if problem is None else 'FAILED'} {scenario.title} ({seconds:.0f} s)", flush=True)
        for line in ([] if problem is None else [*problem.splitlines(), *complaints[:20]]):
            print(f"       {line}", flush=True)
        if problem is not None:
            print(f"       logs: {self.logs / scenario.title}.*.log", flush=True)

    def _play(self, scenario):
        cluster = self.cluster
        for node in cluster.nodes:
            node.begin()
        cluster.begin(scenario.nodes)
        scenario.function(cluster)

    def _keep_logs(self, scenario):
        self.logs.mkdir(parents=True, exist_ok=True)
        for node in self.cluster.nodes:
            (self.logs / f"{scenario.title}.{node.name}.log").write_text(node.log())
            try:
                state = node.text(STATE, 60)
            except EXPECTED_FAILURES as error:
                state = str(error)
            (self.logs / f"{scenario.title}.{node.name}.state.log").write_text(state)

    def summary(self):
        """The last line."""
        for title in self.failed:
            print(f"failed: {title}")
        print(f"{len(self.passed)} passed, {len(self.failed)} failed", flush=True)


def _within(limit, function, *arguments):
    """Calls; answers what went wrong as text, or None."""

    def expired(*_):
        raise TimeLimit(f"not done after {limit} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        function(*arguments)
        return None
    except EXPECTED_FAILURES as error:
        place = traceback.extract_tb(sys.exc_info()[2])
        lines = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}: {frame.line}" for frame in place if "scenarios/" in frame.filename]
        return "\n".join([f"{type(error).__name__}: {error}", *lines])
    except Exception:  # a scenario that is wrong itself must not end the others
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fresh_folder(folder):
    """An empty folder for this run, which nobody else uses meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = open(f"{folder}.lock", "w")  # noqa: SIM115, held until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"another run uses {folder}; give another one with --folder") from None
    _locks.append(lock)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
