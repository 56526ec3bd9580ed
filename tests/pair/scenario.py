# SPDX-License-Identifier: GPL-2.0-only
"""What a scenario is, and how it says what it expected."""

import dataclasses
import importlib
import pkgutil

from .sets import ELSEWHERE, SETS


class Failed(Exception):
    """What was expected did not happen."""


@dataclasses.dataclass
class Scenario:
    """A function that gets a cluster, and how long it may take in seconds (a host may be busy, so: long)."""

    group: str
    name: str
    function: object
    nodes: int
    limit: float
    both_drivers: bool

    @property
    def title(self):
        """`group.name`."""
        return f"{self.group}.{self.name}"


_known = []


def scenario(nodes=2, limit=300, both_drivers=False):
    """Registers a function as a scenario for so many nodes; one with `both_drivers` changes them itself."""

    def register(function):
        group = function.__module__.rpartition(".")[2]
        _known.append(Scenario(group, function.__name__, function, nodes, limit, both_drivers))
        return function

    return register


def part(scenarios, which):
    """Of `scenarios` those in one of several parts, which they join in turn; `which` is such as `2/3`."""
    number, of = (int(word) for word in which.split("/"))
    if not 1 <= number <= of:
        raise SystemExit(f"there is no part {which}")
    return scenarios[number - 1 :: of]


def expect(actual, expected, what):
    """Fails unless both are equal."""
    if actual != expected:
        raise Failed(f"{what}: expected {expected!r}, got {actual!r}")


def expect_that(condition, what):
    """Fails unless it is so."""
    if not condition:
        raise Failed(what)


def expect_in(part, text, what):
    """Fails unless `text` has `part`."""
    if part not in text:
        raise Failed(f"{what}: {part!r} is not in:\n{text}")


def find(words):
    """The scenarios whose group, name or title is among `words` or in a set that is (`rest`: which no set has); without words all
    that are not in `long`."""
    everything = not words
    words = [item for word in words for item in SETS.get(word, [word])]
    package = importlib.import_module("tests.pair.scenarios")
    for module in sorted(found.name for found in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"tests.pair.scenarios.{module}")
    if "rest" in words:
        elsewhere = set(ELSEWHERE)
        words.remove("rest")
        words += [item.title for item in _known if item.nodes > 1 and not {item.group, item.title} & elsewhere]
    if everything:
        chosen = [item for item in _known if item.title not in SETS["long"]]
    else:
        chosen = [item for item in _known if {item.group, item.name, item.title} & set(words)]
    unknown = [word for word in words if not any(word in (item.group, item.name, item.title) for item in _known)]
    if unknown:
        raise SystemExit(f"no such scenario or group: {', '.join(unknown)}")
    # One guest is enough for the first ones: they run, and fail, before a pair is started.
    return sorted(chosen, key=lambda item: item.nodes)
