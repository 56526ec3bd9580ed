# SPDX-License-Identifier: GPL-2.0-only
"""python3 -m tests.pair [--a DRIVER] [--b DRIVER] [scenario or group ...]"""

import argparse
import os
import pathlib
import sys

from guests.lab import KERNELS

from . import TREE
from .cluster import Cluster
from .runner import Runner, fresh_folder
from .scenario import find, part
from .sets import SETS


def parse():
    parser = argparse.ArgumentParser(prog="python3 -m tests.pair", description="Scenarios on guests with the stock kernel.")
    parser.add_argument("--a", choices=["rust", "c"], default="rust", help="driver of the first guest, alpha")
    parser.add_argument("--b", choices=["rust", "c"], default="rust", help="driver of the second guest, beta")
    parser.add_argument("--kernel", choices=KERNELS, default="stock", help="the kernel as it is, told to check its memory, or made to check its locks")
    parser.add_argument("--cpus", type=int, default=1, help="processors of each guest")
    parser.add_argument("--module", type=pathlib.Path, help="our driver (default: drbd.ko, or build/debug/drbd.ko)")
    parser.add_argument("--folder", type=pathlib.Path, help="where disks and logs go (default: build/pair-A-B)")
    parser.add_argument("--part", default="1/1", help="only one of so many parts of them, such as 2/3")
    parser.add_argument("--until", type=float, help="begins no scenario after this time, in seconds as `date +%%s` has them")
    parser.add_argument("--list", action="store_true", help="names the scenarios and ends")
    parser.add_argument("--keep", action="store_true", help="stops at the first failure and takes commands: a COMMAND or b COMMAND")
    parser.add_argument("--look", action="store_true", help="as --keep, and leaves the last scenario as it ended, too")
    parser.add_argument("scenario", nargs="*", help=f"a group, a scenario, group.scenario, or a set ({', '.join(SETS)}, rest; default: all but the set long)")
    return parser.parse_args()


def converse(cluster):
    """Commands for the guests as the last scenario left them, until the end of input."""
    print("a COMMAND runs it on alpha, b COMMAND on beta (such as: a drbdadm status); an empty line ends", flush=True)
    while line := sys.stdin.readline().strip():
        letter, _, command = line.partition(" ")
        node = {"a": cluster.nodes[0], "b": cluster.nodes[-1]}.get(letter)
        if node is not None:
            result = node.run(command, check=False)
            print((result.stdout + result.stderr).decode(errors="replace"), f"[{result.code}]", flush=True)


def main():
    options = parse()
    scenarios = part(find(options.scenario), options.part)
    if (options.a, options.b) == ("c", "c"):
        scenarios = [item for item in scenarios if not item.both_drivers]
    if options.list:
        for item in scenarios:
            print(f"{item.title:40} {(item.function.__doc__ or '').splitlines()[0]}")
        return 0
    suffix = "" if options.kernel == "stock" else f"-{options.kernel}"
    debug = options.kernel == "debug"
    options.module = options.module or TREE / ("build/debug/drbd.ko" if debug else "drbd.ko")
    if "rust" in (options.a, options.b) and not options.module.exists():
        sys.exit(f"{options.module} is not there; build it with: make module{'-debug' if debug else ''}")
    folder = fresh_folder(options.folder or TREE / f"build/pair-{options.a}-{options.b}{suffix}")
    with Cluster(folder, (options.a, options.b), options.module, options.kernel, options.cpus) as cluster:
        runner = Runner(cluster, folder / "logs", options.keep or options.look, options.look, options.until)
        print(f"alpha: {options.a}, beta: {options.b}; {len(scenarios)} scenarios; folder: {folder}", flush=True)
        passed = runner.run(scenarios)
        runner.summary()
        if options.look or (options.keep and not passed):
            converse(cluster)
    if passed:
        for disk in folder.glob("*/disk*.raw"):
            disk.unlink()
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    os._exit(code) if code == 130 else sys.exit(code)
