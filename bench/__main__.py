# SPDX-License-Identifier: GPL-2.0-only
"""python3 -m bench [--rounds N] [--seconds N]

Both drivers take turns on the same two guests: a busy host disturbs both. Medians, and the median over the rounds of the
ratio of ours to the kernel's own (above 1: ours is faster), are printed and written to bench/out/latest.json.
"""

import argparse
import json
import pathlib
import statistics
import sys

from tests.pair import TREE
from tests.pair.cluster import Cluster
from tests.pair.runner import fresh_folder

from .rows import rows


def parse():
    parser = argparse.ArgumentParser(prog="python3 -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each driver takes its turn")
    parser.add_argument("--seconds", type=int, default=8, help="length of each load")
    parser.add_argument("--module", type=pathlib.Path, default=TREE / "drbd.ko")
    parser.add_argument("--drivers", nargs="*", default=["c", "rust"], choices=["c", "rust"], help="'c c' tells how much is noise")
    parser.add_argument("--folder", type=pathlib.Path, default=TREE / "build/bench")
    parser.add_argument("--out", type=pathlib.Path, default=TREE / "bench/out/latest.json")
    return parser.parse_args()


def turn(cluster, driver, measured, found):
    """One driver does all rows once."""
    cluster.clean()
    for node in cluster.nodes:
        node.driver = driver
    for row in measured:
        row.prepare(cluster)
        value = row.measure(cluster)
        found.append(value)
        print(f"    {driver:5} {row.name:45} {value:10.1f} {row.unit}", flush=True)
    complaints = [f"{node.name}: {line}" for node in cluster.nodes for line in node.complaints()]
    if complaints:
        raise SystemExit("the kernel complained:\n" + "\n".join(complaints))


def report(measured, turns):
    """The rows as they are written to the file. `turns` are (column, values of all rows)."""
    result = []
    for index, row in enumerate(measured):
        runs = {column: [round(values[index], 1) for name, values in turns if name == column] for column in ("c", "rust")}
        c, rust = (statistics.median(runs[column]) for column in ("c", "rust"))
        # By rounds: what the load of the host does from one round to the next is not in it.
        ratio = statistics.median(ours / theirs for ours, theirs in zip(runs["rust"], runs["c"]))
        result.append({"row": row.name, "unit": row.unit, "c": c, "rust": rust, "ratio": round(ratio, 3), "runs": runs})
    return result


def main():
    options = parse()
    if "rust" in options.drivers and not options.module.exists():
        sys.exit(f"{options.module} is not there; build it with: make module")
    measured = rows(options.seconds)
    contestants = list(zip(("c", "rust"), options.drivers))
    turns = []
    with Cluster(fresh_folder(options.folder), ("c", "c"), options.module) as cluster:
        cluster.start(2)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            for column, driver in contestants if number % 2 == 0 else contestants[::-1]:
                values = []
                turn(cluster, driver, measured, values)
                turns.append((column, values))
    table = report(measured, turns)
    print(f"\n{'':45} {'C':>10} {'ours':>10} {'ratio':>6}")
    for row in table:
        print(f"{row['row']:45} {row['c']:10.1f} {row['rust']:10.1f} {row['ratio']:6.2f}  {row['unit']}")
    if options.drivers != ["c", "rust"]:
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(table, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
