# SPDX-License-Identifier: GPL-2.0-only
"""python3 -m bench [--rows all] [--rounds N] [--seconds N]

Both drivers take turns on the same two guests: a busy host disturbs both. Medians, and the median over the rounds of the
ratio of ours to the kernel's own (above 1: ours is faster), are printed and written to bench/out/latest.json.
"""

import argparse
import json
import pathlib
import statistics
import sys

from tests.pair import TREE  # before `guests`: it says where they are
from tests.pair.cluster import Cluster
from tests.pair.runner import fresh_folder

from guests import CommandFailed

from .rows import choose, rows

CANNOT = "is not supported by this driver yet"


def parse():
    parser = argparse.ArgumentParser(prog="python3 -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each driver takes its turn")
    parser.add_argument("--seconds", type=int, default=5, help="length of each load")
    parser.add_argument("--rows", nargs="*", default=["short"], help="short (the default), all, or parts of names, such as 'protocol A'")
    parser.add_argument("--list", action="store_true", help="names the rows and ends")
    parser.add_argument("--module", type=pathlib.Path, default=TREE / "drbd.ko")
    parser.add_argument("--drivers", nargs="*", default=["c", "rust"], choices=["c", "rust"], help="'c c' tells how much is noise")
    parser.add_argument("--folder", type=pathlib.Path, default=TREE / "build/bench")
    parser.add_argument("--out", type=pathlib.Path, default=TREE / "bench/out/latest.json")
    return parser.parse_args()


def turn(cluster, driver, measured, found):
    """One driver does all rows once."""
    cluster.clean()
    cluster.left_by = None
    for node in cluster.nodes:
        node.driver = driver
    for row in measured:
        value = measure(cluster, row)
        found.append(value)
        print(f"    {driver:5} {row.name:47} {value:10.1f} {row.unit}" if value is not None else f"    {driver:5} {row.name:47} left out: the driver refuses it", flush=True)
    complaints = [f"{node.name}: {line}" for node in cluster.nodes for line in node.complaints()]
    if complaints:
        raise SystemExit("the kernel complained:\n" + "\n".join(complaints))


def measure(cluster, row):
    """The number of a row, or None where the driver says that it cannot do this yet."""
    try:
        row.prepare(cluster)
        return row.measure(cluster)
    except CommandFailed as error:
        if CANNOT not in str(error):
            raise
        cluster.left_by = None
        return None


def report(measured, turns):
    """The rows as they are written to the file. `turns` are (column, values of all rows)."""
    result = []
    for index, row in enumerate(measured):
        runs = {column: [values[index] for name, values in turns if name == column] for column in ("c", "rust")}
        if None in runs["c"] + runs["rust"]:
            continue
        runs = {column: [round(value, 1) for value in values] for column, values in runs.items()}
        c, rust = (statistics.median(runs[column]) for column in ("c", "rust"))
        # By rounds: what the load of the host does from one round to the next is not in it.
        ratio = statistics.median(ours / theirs for ours, theirs in zip(runs["rust"], runs["c"]))
        result.append({"row": row.name, "unit": row.unit, "c": c, "rust": rust, "ratio": round(ratio, 3), "runs": runs})
    return result


def main():
    options = parse()
    measured = choose(rows(options.seconds), options.rows)
    if options.list:
        for row in rows(options.seconds):
            print(f"{row.name:47} {row.unit:5}{' short' if row.short else ''}")
        return
    if "rust" in options.drivers and not options.module.exists():
        sys.exit(f"{options.module} is not there; build it with: make module")
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
    print(f"\n{'':47} {'C':>10} {'ours':>10} {'ratio':>6}")
    for row in table:
        print(f"{row['row']:47} {row['c']:10.1f} {row['rust']:10.1f} {row['ratio']:6.2f}  {row['unit']}")
    if options.drivers != ["c", "rust"]:
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(table, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
