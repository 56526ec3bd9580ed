// SPDX-License-Identifier: GPL-2.0-only

//! What there is to say about many seeds.

use std::time::Duration;

use drbd_sim::coverage::{reasons, Coverage};
use drbd_sim::play::play;
use drbd_sim::shrink::shrink;

use crate::many::Totals;
use crate::Arguments;

/// Below this many seeds, that something rare was not reached means nothing.
const ENOUGH: u64 = 5000;
/// How the reason begins for what is reached once in millions of seeds.
const RARE: &str = "rare";

/// Reports; answers the status that the program ends with.
pub fn report(arguments: &Arguments, totals: &Totals, first: u64, took: Duration) -> i32 {
    let seconds = took.as_secs_f64().max(0.001);
    println!(
        "{} seeds from {first}, {:.1} simulated hours, {} events in {:.0} s: {:.0} seeds and {:.0} events a second",
        totals.seeds,
        totals.micros as f64 / 3.6e9,
        totals.events,
        seconds,
        totals.seeds as f64 / seconds,
        totals.events as f64 / seconds,
    );
    let happened = |what: &str| totals.coverage.happened(what);
    println!(
        "{} crashes, {} partitions, {} cut connections, {} fail-overs, {} resyncs begun and {} ended, {} requests",
        happened("crashes"),
        happened("partitions"),
        happened("cut connections"),
        happened("fail-overs"),
        happened("resyncs begun"),
        happened("resyncs ended"),
        ["reads", "writes", "flushes", "discards", "requests that failed"]
            .iter()
            .map(|what| happened(what))
            .sum::<u64>(),
    );
    for (what, count) in totals.coverage.happenings.borrow().iter() {
        println!("{count:>12}  {what}");
    }
    report_coverage(arguments, totals);
    if totals.failed.is_empty() {
        println!("all promises kept");
        return 0;
    }
    report_failures(arguments, totals);
    1
}

/// What of all that can be reached was not, and has no reason; and reasons that do not hold any more.
fn report_coverage(arguments: &Arguments, totals: &Totals) {
    let reached = totals.coverage.reached();
    let wanted = Coverage::wanted();
    let reasons = reasons();
    if arguments.coverage {
        for (thing, count) in &reached {
            println!("{count:>12}  {thing}");
        }
    }
    let there = wanted
        .iter()
        .filter(|thing| reached.contains_key(*thing))
        .count();
    let (explained, missing): (Vec<_>, Vec<_>) = wanted
        .iter()
        .filter(|thing| !reached.contains_key(*thing))
        .partition(|thing| reasons.contains_key(*thing));
    println!(
        "reached {there} of {} states, changes of state, packets and rules; {} have a reason in tests/sim/coverage/unreached.txt",
        wanted.len(),
        explained.len()
    );
    if !missing.is_empty() {
        let note = if totals.seeds < ENOUGH {
            " (more seeds reach more)"
        } else {
            ""
        };
        let list: Vec<&str> = missing.iter().map(|thing| thing.as_str()).collect();
        println!("not reached{note}: {}", list.join(", "));
    }
    for thing in reached.keys() {
        if !wanted.contains(thing) {
            println!("new, add it to tests/sim/coverage/changes.txt: {thing}");
        }
        // What is rare may be reached.
        if reasons.get(thing).is_some_and(|why| !why.starts_with(RARE)) {
            println!(
                "reached, although tests/sim/coverage/unreached.txt has a reason why not: {thing}"
            );
        }
    }
}

fn report_failures(arguments: &Arguments, totals: &Totals) {
    for (seed, outcome) in totals.failed.iter().take(40) {
        for failure in outcome.failures.iter().take(1) {
            println!("seed {seed} failed {failure} [{}]", outcome.failed_in);
        }
    }
    println!("{} seeds failed", totals.failed.len());
    let Some((seed, outcome)) = totals.failed.first() else {
        return;
    };
    if arguments.quiet || arguments.keep_going {
        return;
    }
    println!("shortening the story of seed {seed}");
    let script = shrink(*seed, outcome);
    println!("the story of seed {seed} (make sim SEED={seed} WITHOUT={script}):");
    for failure in play(*seed, &script, true).failures {
        println!("seed {seed} failed {failure}");
    }
}
