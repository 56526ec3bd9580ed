// SPDX-License-Identifier: GPL-2.0-only

//! `make sim`: the engine against many bad nights.

mod many;
mod report;

use clap::Parser;
use drbd_sim::play::play;
use drbd_sim::script::Script;

/// Runs two nodes of the replication engine through simulated disasters, and checks every promise.
#[derive(Parser)]
pub struct Arguments {
    /// Play this one seed, and tell its story.
    #[arg(long)]
    seed: Option<u64>,
    /// Leave these troubles and thoughts of applications out of the story of the seed, as a shortened story names them.
    #[arg(long, requires = "seed", default_value = "")]
    without: Script,
    /// Play this many seeds.
    #[arg(long)]
    seeds: Option<u64>,
    /// Play seeds for so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed; otherwise it is a matter of chance.
    #[arg(long, alias = "first")]
    from: Option<u64>,
    /// So many threads; otherwise as many as there are processors.
    #[arg(long)]
    threads: Option<usize>,
    /// Go on after a failure, and list all that failed.
    #[arg(long)]
    keep_going: bool,
    /// No progress line, and no story of the seed that failed.
    #[arg(long)]
    quiet: bool,
    /// List everything that was reached, and how often.
    #[arg(long)]
    coverage: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let status = match arguments.seed {
        Some(seed) => one(seed, &arguments.without, !arguments.quiet),
        None => many::run(&arguments),
    };
    std::process::exit(status);
}

fn one(seed: u64, script: &Script, loud: bool) -> i32 {
    let outcome = play(seed, script, loud);
    for failure in &outcome.failures {
        println!("seed {seed} failed {failure}");
    }
    if outcome.failures.is_empty() {
        println!("seed {seed}: all is well");
    }
    i32::from(!outcome.failures.is_empty())
}
