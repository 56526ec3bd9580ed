// SPDX-License-Identifier: GPL-2.0-only

//! Plays one seed.

use std::panic::{catch_unwind, AssertUnwindSafe};

use bumpalo::Bump;

use crate::coverage::Coverage;
use crate::script::Script;
use crate::world::World;

/// How the story of a seed ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What went wrong, first things first.
    pub failures: Vec<String>,
    /// The checker, or the file, that found it.
    pub failed_in: &'static str,
    pub coverage: Coverage,
    /// Simulated microseconds.
    pub micros: u64,
    pub events: u64,
    /// How many troubles and thoughts of applications there were.
    pub troubles: u64,
    pub thoughts: u64,
}

/// Plays a seed without what the script leaves out; `loud`: tells the story.
pub fn play(seed: u64, script: &Script, loud: bool) -> Outcome {
    let run = || {
        let arena = Bump::new();
        let mut world = World::chaotic(&arena, seed);
        world.script = script.clone();
        world.loud |= loud;
        if loud {
            world.introduce();
        }
        world.play();
        let plan = world.plan.as_ref();
        Outcome {
            troubles: plan.map_or(0, |plan| plan.troubles),
            thoughts: plan.map_or(0, |plan| plan.thoughts),
            failures: world.failures,
            failed_in: world.failed_in,
            coverage: world.coverage,
            micros: world.now,
            events: world.events,
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Outcome {
        failures: vec!["a panic".into()],
        failed_in: "panic",
        troubles: 1000,
        thoughts: 10_000,
        ..Outcome::default()
    })
}
