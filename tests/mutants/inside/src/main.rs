// SPDX-License-Identifier: GPL-2.0-only

//! Plays seeds with one fault switched on, until a checker finds it: `drbd-mutants-inside FAULT FIRST SEEDS [STORY]`. With the
//! name of a directed story, its seeds.
//!
//! One line comes out: `caught`, how many seeds it took, the checker, its words; or `survived` and whether the faulty code
//! ever ran.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bumpalo::Bump;
use drbd_core::mutant;
use drbd_sim::directed::{self, Story};
use drbd_sim::world::World;

/// A seed takes a tenth of a second. One that takes as long as this never ends.
const PATIENCE: Duration = Duration::from_secs(60);

static SEEDS: AtomicU64 = AtomicU64::new(0);

/// What a seed, or one of a directed story, found: the checker and its words.
fn play(story: Option<&Story>, seed: u64) -> Option<(String, String)> {
    let played = std::panic::catch_unwind(|| {
        if let Some(story) = story {
            let (words, found_by) = directed::play(story, seed, false)?;
            return Some((format!("story: {}", checker(found_by, &words)), words));
        }
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
    let mut words = std::env::args().skip(1);
    let mut number = || {
        let number = words.next().and_then(|word| word.parse().ok());
        number.expect("FAULT FIRST SEEDS [STORY]")
    };
    let (fault, first, seeds): (u64, u64, u64) = (number(), number(), number());
    let story = words
        .next()
        .map(|name| directed::find(&name).expect("a story of that name"));
    let (first, seeds) = story.map_or((first, seeds), |story| (1, story.seeds));
    std::panic::set_hook(Box::new(|_| {}));
    let fault = u32::try_from(fault).expect("a number of a fault");
    watch(first);
    for seed in first..first + seeds {
        mutant::switch_on(fault);
        let found = play(story, seed);
        // What the engine as it is does not survive either is no proof of anything.
        mutant::switch_on(0);
        if let Some((checker, words)) = found.filter(|_| fault == 0 || play(story, seed).is_none())
        {
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
