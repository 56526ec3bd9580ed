// SPDX-License-Identifier: GPL-2.0-only

//! Makes the story of a failing seed shorter: leaves out troubles and thoughts of applications while it still fails in the
//! same way.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::play::{play, Outcome};
use crate::script::Script;

/// Longer than this nobody waits for a shorter story.
const PATIENCE: Duration = Duration::from_secs(30);

struct Shrink {
    seed: u64,
    failed_in: &'static str,
    began: Instant,
    best: Script,
}

/// What can be left out of a seed that ended like this.
pub fn shrink(seed: u64, outcome: &Outcome) -> Script {
    let mut shrink = Shrink {
        seed,
        failed_in: outcome.failed_in,
        began: Instant::now(),
        best: Script::default(),
    };
    shrink.leave_out(outcome.troubles, |script| &mut script.troubles);
    shrink.leave_out(outcome.thoughts, |script| &mut script.thoughts);
    shrink.leave_out(outcome.troubles, |script| &mut script.troubles);
    shrink.best
}

impl Shrink {
    fn fails(&self, script: &Script) -> bool {
        let outcome = play(self.seed, script, false);
        !outcome.failures.is_empty() && outcome.failed_in == self.failed_in
    }

    /// Tries to leave out halves, quarters, and so on, down to single ones.
    fn leave_out(&mut self, count: u64, of: impl Fn(&mut Script) -> &mut BTreeSet<u64>) {
        let mut size = count.max(1);
        loop {
            let mut first = 1;
            while first <= count && self.began.elapsed() < PATIENCE {
                let mut script = self.best.clone();
                let before = of(&mut script).len();
                of(&mut script).extend(first..(first + size).min(count + 1));
                if of(&mut script).len() > before && self.fails(&script) {
                    self.best = script;
                }
                first += size;
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }
}
