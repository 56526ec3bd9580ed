// SPDX-License-Identifier: GPL-2.0-only

//! `make sim`: the engine against many bad nights.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bumpalo::Bump;
use clap::Parser;
use drbd_sim::coverage::Coverage;
use drbd_sim::world::World;
use indicatif::{ProgressBar, ProgressStyle};

/// Runs two nodes of the replication engine through simulated disasters, and checks every promise.
#[derive(Parser)]
struct Arguments {
    /// Play this one seed, and tell its story.
    #[arg(long)]
    seed: Option<u64>,
    /// Play this many seeds.
    #[arg(long)]
    seeds: Option<u64>,
    /// Play seeds for this long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed; otherwise it is a matter of chance.
    #[arg(long)]
    first: Option<u64>,
    /// Go on after a failure, and list all that failed.
    #[arg(long)]
    keep_going: bool,
    /// Do not tell the story of the first seed that failed.
    #[arg(long)]
    quiet: bool,
}

#[derive(Default)]
struct Totals {
    coverage: Coverage,
    micros: u64,
    events: u64,
    failed: Vec<(u64, String)>,
}

fn play(seed: u64, loud: bool) -> (Vec<String>, Coverage, u64, u64) {
    let arena = Bump::new();
    let mut world = World::chaotic(&arena, seed);
    world.loud |= loud;
    if loud {
        println!("seed {seed}: {:?}", world.setup);
    }
    world.play();
    (world.failures, world.coverage, world.now, world.events)
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        let (failures, ..) = play(seed, true);
        for failure in &failures {
            println!("seed {seed} failed {failure}");
        }
        if failures.is_empty() {
            println!("seed {seed}: all is well");
        }
        std::process::exit(i32::from(!failures.is_empty()));
    }
    std::process::exit(many(&arguments));
}

fn many(arguments: &Arguments) -> i32 {
    let first = arguments.first.unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| {
                since.as_nanos() as u64 % 1_000_000_000 * 1_000_000
            })
    });
    let began = Instant::now();
    let limit = Duration::from_secs(arguments.seconds);
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    let bar = match arguments.seeds {
        Some(seeds) => ProgressBar::new(seeds),
        None => ProgressBar::new(arguments.seconds),
    };
    bar.set_style(
        ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let over = match arguments.seeds {
                    Some(seeds) => number >= seeds,
                    None => began.elapsed() >= limit,
                };
                if over || stop.load(Ordering::Relaxed) {
                    return;
                }
                let seed = first + number;
                let result = std::panic::catch_unwind(|| play(seed, false));
                let Ok(mut totals) = totals.lock() else {
                    return;
                };
                match result {
                    Ok((failures, coverage, micros, events)) => {
                        totals.coverage.add(&coverage);
                        totals.micros += micros;
                        totals.events += events;
                        if let Some(failure) = failures.into_iter().next() {
                            totals.failed.push((seed, failure));
                        }
                    }
                    Err(_) => totals.failed.push((seed, "panicked".into())),
                }
                if !totals.failed.is_empty() && !arguments.keep_going {
                    stop.store(true, Ordering::Relaxed);
                }
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                bar.set_position(match arguments.seeds {
                    Some(_) => done,
                    None => began.elapsed().as_secs(),
                });
                bar.set_message(format!("{done} seeds, {} failed", totals.failed.len()));
            });
        }
    });
    bar.finish_and_clear();
    let Ok(totals) = totals.into_inner() else {
        return 2;
    };
    report(
        arguments,
        &totals,
        done.load(Ordering::Relaxed),
        began.elapsed(),
    )
}

fn report(arguments: &Arguments, totals: &Totals, seeds: u64, took: Duration) -> i32 {
    println!(
        "{seeds} seeds, {:.1} simulated hours, {} events, {:.0} events a second",
        totals.micros as f64 / 3.6e9,
        totals.events,
        totals.events as f64 / took.as_secs_f64().max(0.001)
    );
    for (name, counts) in [
        ("happenings", &*totals.coverage.happenings.borrow()),
        ("connection", &totals.coverage.connections),
        ("disk", &totals.coverage.disks),
        ("packets", &totals.coverage.packets),
    ] {
        let list: Vec<String> = counts
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        println!("{name}: {}", list.join(", "));
    }
    let missing = totals.coverage.missing();
    if !missing.is_empty() {
        println!("never reached: {}", missing.join(", "));
    }
    if totals.failed.is_empty() {
        println!("all promises kept");
        return 0;
    }
    for (seed, failure) in totals.failed.iter().take(40) {
        println!("seed {seed} failed {failure}");
    }
    println!("{} seeds failed", totals.failed.len());
    if let (Some((seed, _)), false) = (
        totals.failed.first(),
        arguments.quiet || arguments.keep_going,
    ) {
        println!("the story of seed {seed}:");
        let _ = std::panic::catch_unwind(|| play(*seed, true));
    }
    1
}
