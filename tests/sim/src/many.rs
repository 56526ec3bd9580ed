// SPDX-License-Identifier: GPL-2.0-only

//! Many seeds, on all processors.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use drbd_sim::coverage::Coverage;
use drbd_sim::play::{play, Outcome};
use drbd_sim::script::Script;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{report, Arguments};

/// What all seeds together were.
#[derive(Default)]
pub struct Totals {
    pub coverage: Coverage,
    pub seeds: u64,
    pub micros: u64,
    pub events: u64,
    pub failed: Vec<(u64, Outcome)>,
}

impl Totals {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.coverage.add(&outcome.coverage);
        self.micros += outcome.micros;
        self.events += outcome.events;
        if !outcome.failures.is_empty() {
            self.failed.push((seed, outcome));
        }
    }
}

/// The first of the seeds: where none is given, chance decides.
fn first_seed(arguments: &Arguments) -> u64 {
    arguments.from.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(1, |since| {
                since.as_nanos() as u64 % 1_000_000_000 * 1_000_000
            })
    })
}

fn progress(arguments: &Arguments) -> ProgressBar {
    let bar = ProgressBar::new(arguments.seeds.unwrap_or(arguments.seconds));
    if arguments.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let unit = if arguments.seeds.is_some() {
        "seeds"
    } else {
        "seconds"
    };
    let template = format!("{{bar:40}} {{pos}} of {{len}} {unit}  {{msg}}");
    bar.set_style(
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

/// Plays them, and reports. The status that the program ends with.
pub fn run(arguments: &Arguments) -> i32 {
    let first = first_seed(arguments);
    let began = Instant::now();
    let limit = Duration::from_secs(arguments.seconds);
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    let bar = progress(arguments);
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let nothing = Script::default();
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
                let seed = first.wrapping_add(number);
                let outcome = play(seed, &nothing, false);
                let Ok(mut totals) = totals.lock() else {
                    return;
                };
                totals.add(seed, outcome);
                if !totals.failed.is_empty() && !arguments.keep_going {
                    stop.store(true, Ordering::Relaxed);
                }
                bar.set_position(match arguments.seeds {
                    Some(_) => totals.seeds,
                    None => began.elapsed().as_secs(),
                });
                bar.set_message(format!(
                    "{} seeds, {} crashes, {} failed",
                    totals.seeds,
                    totals.coverage.happened("crashes"),
                    totals.failed.len()
                ));
            });
        }
    });
    bar.finish_and_clear();
    match totals.into_inner() {
        Ok(totals) => report::report(arguments, &totals, first, began.elapsed()),
        Err(_) => 2,
    }
}
