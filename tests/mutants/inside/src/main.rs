// SPDX-License-Identifier: GPL-2.0-only

//! Plays seeds with one fault switched on, until a checker finds it: `drbd-mutants-inside FAULT FIRST SEEDS`.
//!
//! One line comes out: `caught`, how many seeds it took, the checker, its words; or `survived` and whether the faulty code
//! ever ran.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bumpalo::Bump;
use drbd_core::mutant;
use drbd_sim::world::World;

/// A seed takes a tenth of a second. One that takes as long as this never ends.
const PATIENCE: Duration = Duration::from_secs(60);

static SEEDS: AtomicU64 = AtomicU64::new(0);

/// What a seed found: the checker and its words.
fn play(seed: u64) -> Option<(String, String)> {
    let played = std::panic::catch_unwind(|| {
        let arena = Bump::new();
        let mut world = World::chaotic(&arena, seed);
        world.play();
        let words = world.failures.first().cloned()?;
        Some((checker(world.failed_in, &words), words))
    });
    played.unwrap_or_else(|_| Some(("panic".into(), "the simulator panicked".into())))
}

/// The name of the checker; what is found elsewhere, in a file, is named by its words, without their numbers.
fn checker(found_by: &str, words: &str) -> String {
    if !found_by.contains('/') {
        return found_by.into();
    }
    let said = words.split_once(": ").map_or(words, |(_, said)| said);
    let said = match said.split_once(": ") {
        Some((who, what)) if who.starts_with("node") || who.starts_with("volume") => what,
        _ => said,
    };
    said.split([':', ',']).next().unwrap_or(said).into()
}

/// Ends the process when a seed does not end.
fn watch(first: u64) {
    std::thread::spawn(move || loop {
        let before = SEEDS.load(Ordering::Relaxed);
        std::thread::sleep(PATIENCE);
        if SEEDS.load(Ordering::Relaxed) == before {
            let seed = first + before;
            println!("caught\t{}\tendless\tseed {seed} does not end", before + 1);
            std::process::exit(0);
        }
    });
}

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok());
    let mut number = || numbers.next().expect("FAULT FIRST SEEDS");
    let (fault, first, seeds): (u64, u64, u64) = (number(), number(), number());
    std::panic::set_hook(Box::new(|_| {}));
    let fault = u32::try_from(fault).expect("a number of a fault");
    watch(first);
    for seed in first..first + seeds {
        mutant::switch_on(fault);
        let found = play(seed);
        // What the engine as it is does not survive either is no proof of anything.
        mutant::switch_on(0);
        if let Some((checker, words)) = found.filter(|_| fault == 0 || play(seed).is_none()) {
            let took = seed - first + 1;
            println!("caught\t{took}\t{checker}\tseed {seed} {words}");
            return;
        }
        SEEDS.fetch_add(1, Ordering::Relaxed);
    }
    let reached = if mutant::was_reached() {
        "the faulty code ran"
    } else {
        "the faulty code never ran"
    };
    println!("survived\t{seeds}\t\t{reached}");
}
