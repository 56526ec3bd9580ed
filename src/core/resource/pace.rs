// SPDX-License-Identifier: GPL-2.0-only

//! How fast a resync goes: how much the target keeps under way, and how much it asks for in a moment.
//!
//! Nothing here knows of disks or sockets. What was measured goes in, sectors come out. Two bounds hold at once:
//!
//! * the *rate*: `c-max-rate`, or without a controller (`c-plan-ahead 0`) `resync-rate`, paid from a budget that time
//!   fills;
//! * the *window*: what is asked for and not yet written. The controller moves it every 100 ms towards what its target
//!   wants, a part of the way so that the whole way takes about `c-plan-ahead`.
//!
//! With `c-fill-target` the target is that much on top of what one interval of 100 ms delivered: whatever waits beyond
//! it waits in a buffer. Without, it is what was delivered in `c-delay-target`: so long a block is then on its way.
//!
//! Context: under the lock of the resource, as all of the engine. Nothing here can fail, stall, or divide by zero.

use crate::config::disk::DiskConf;
use crate::num::SECTORS_PER_BLOCK;

/// How often the window is corrected, in milliseconds; and how much of the rate may be spent at once.
const INTERVAL_MS: u64 = 100;
/// How late a timer may be, in milliseconds.
const LATE_MS: u64 = 20;
/// The longest request, in sectors: 512 KiB.
const LONGEST_REQUEST: u64 = 1024;
/// What the controller leaves in the window at least, in sectors: 24 KiB, an interval of the default `resync-rate`. On a
/// line that needs longer than the wanted delay for any block, it would go down to a single block for good.
const LEAST_WINDOW: u64 = 48;

/// What an administrator wants. All but the times in sectors, and sectors in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    /// `resync-rate`: the rate without a controller, and where the controller begins.
    pub(super) fixed_rate: u64,
    /// `c-plan-ahead` in intervals; 0 turns the controller off.
    pub(super) steps: u64,
    /// `c-fill-target`; 0 means that the delay counts.
    pub(super) fill: u64,
    /// `c-delay-target` in intervals.
    pub(super) delay: u64,
    /// `c-max-rate`
    pub(super) most_rate: u64,
    /// A request may always be as long as this, in whole blocks: a unit of `rs-discard-granularity`, or a block.
    pub(super) unit: u64,
    /// The most that may be under way at any time: half of `max-buffers`.
    pub(super) ceiling: u64,
}

impl Goal {
    /// What the options say.
    pub(super) fn new(conf: &DiskConf, max_buffers: u32) -> Self {
        // Two sectors in a KiB; the options count tenths of a second, which is what an interval is.
        Self {
            fixed_rate: u64::from(conf.resync_rate).saturating_mul(2).max(1),
            steps: u64::from(conf.c_plan_ahead),
            fill: u64::from(conf.c_fill_target),
            delay: u64::from(conf.c_delay_target).max(1),
            most_rate: u64::from(conf.c_max_rate).saturating_mul(2).max(1),
            unit: SECTORS_PER_BLOCK,
            ceiling: (u64::from(max_buffers).saturating_mul(SECTORS_PER_BLOCK) / 2)
                .max(SECTORS_PER_BLOCK),
        }
    }

    fn is_controlled(&self) -> bool {
        self.steps > 0
    }

    /// Sectors in a second, at most.
    fn rate(&self) -> u64 {
        if self.is_controlled() {
            self.most_rate
        } else {
            self.fixed_rate
        }
    }

    /// Where the window begins: `resync-rate` for an interval.
    fn first_window(&self) -> u64 {
        in_an_interval(self.fixed_rate)
            .max(SECTORS_PER_BLOCK)
            .min(self.ceiling)
    }

    /// What the window never falls below. Not `resync-rate`: that is a guess of an administrator, and one that is too
    /// high must not fill the buffers for as long as the resync takes.
    fn least_window(&self) -> u64 {
        self.first_window().min(LEAST_WINDOW)
    }

    /// What the window should be after an interval that delivered so much.
    fn window(&self, delivered: u64) -> u64 {
        let wanted = if self.fill > 0 {
            self.fill.saturating_add(delivered)
        } else {
            delivered.saturating_mul(self.delay)
        };
        wanted.max(self.least_window()).min(self.ceiling)
    }
}

fn in_an_interval(rate: u64) -> u64 {
    rate.saturating_mul(INTERVAL_MS) / 1000
}

/// The pace of one resync, on the side of the target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Sectors that may be under way; nothing before the first request.
    window: Option<u64>,
    /// Sectors that time has paid for, in thousandths.
    budget: u64,
    /// When time was paid out last.
    paid_at: u64,
    /// When the window was corrected last.
    corrected_at: u64,
    /// Sectors written since.
    delivered: u64,
    /// Sectors asked for since.
    asked: u64,
    /// Sectors in a second, as asked for in the interval before.
    speed: u64,
}

impl Pace {
    /// A resync begins at `now`, in milliseconds.
    pub(super) fn new(now: u64) -> Self {
        Self {
            paid_at: now,
            corrected_at: now,
            ..Self::default()
        }
    }

    /// Blocks were written.
    pub(super) fn delivered(&mut self, sectors: u64) {
        self.delivered = self.delivered.saturating_add(sectors);
    }

    /// Blocks were asked for: so many sectors are paid for.
    pub(super) fn asked(&mut self, sectors: u64) {
        self.asked = self.asked.saturating_add(sectors);
        self.budget = self.budget.saturating_sub(sectors.saturating_mul(1000));
    }

    /// The longest request that may be made now, in sectors, whole blocks; 0 means to wait. `most_rate` is a rate that
    /// holds for the moment, whatever the goal says, in sectors in a second.
    pub(super) fn allowance(
        &mut self,
        now: u64,
        in_flight: u64,
        goal: &Goal,
        most_rate: Option<u64>,
    ) -> u64 {
        let window = self.correct(now, in_flight, goal);
        let rate = goal.rate().min(most_rate.unwrap_or(u64::MAX)).max(1);
        // A request is a small part of the window, so that the pipe never runs dry while the next one is made, and of
        // what the rate allows at once, so that slow does not mean in bursts.
        let longest = in_an_interval(rate)
            .min(window / 4)
            .min(LONGEST_REQUEST)
            .max(goal.unit)
            .max(SECTORS_PER_BLOCK);
        let longest = longest.saturating_sub(longest % SECTORS_PER_BLOCK);
        self.pay(now, rate, longest);
        let fits = in_flight == 0 || in_flight.saturating_add(longest) <= window;
        if fits && self.budget >= longest.saturating_mul(1000) {
            longest
        } else {
            0
        }
    }

    /// What is shown as the wanted speed, in KiB in a second.
    pub(super) fn wanted(&self, goal: &Goal) -> u64 {
        if goal.is_controlled() {
            self.speed.min(goal.most_rate) / 2
        } else {
            goal.fixed_rate / 2
        }
    }

    fn pay(&mut self, now: u64, rate: u64, longest: u64) {
        let earned = rate.saturating_mul(now.saturating_sub(self.paid_at));
        // The timer is late by a little each time: what it brings then is not lost.
        let late = rate.saturating_mul(LATE_MS);
        let most = in_an_interval(rate)
            .max(longest)
            .saturating_mul(1000)
            .saturating_add(late);
        self.paid_at = self.paid_at.max(now);
        self.budget = self.budget.saturating_add(earned).min(most);
    }

    /// The window from now on, in sectors.
    fn correct(&mut self, now: u64, in_flight: u64, goal: &Goal) -> u64 {
        let window = if goal.is_controlled() {
            self.window.unwrap_or(goal.first_window())
        } else {
            goal.ceiling
        };
        let window = window.max(goal.least_window()).min(goal.ceiling);
        self.window = Some(window);
        let elapsed = now.saturating_sub(self.corrected_at);
        if elapsed < INTERVAL_MS {
            return window;
        }
        let of_an_interval = |sectors: u64| {
            sectors
                .saturating_mul(INTERVAL_MS)
                .checked_div(elapsed)
                .unwrap_or(0)
        };
        let delivered = of_an_interval(self.delivered);
        self.speed = of_an_interval(self.asked).saturating_mul(1000 / INTERVAL_MS);
        let idle = self.delivered == 0 && in_flight == 0;
        self.delivered = 0;
        self.asked = 0;
        self.corrected_at = now;
        if !goal.is_controlled() || idle {
            return window;
        }
        let passed = elapsed.checked_div(INTERVAL_MS).unwrap_or(1);
        let window = approach(window, goal.window(delivered), passed, goal.steps);
        self.window = Some(window);
        window
    }
}

/// Goes `passed` of `steps` parts of the way from `window` to `target`, and at least a sector of it.
fn approach(window: u64, target: u64, passed: u64, steps: u64) -> u64 {
    let way = window.abs_diff(target);
    let part = way
        .saturating_mul(passed.min(steps))
        .checked_div(steps)
        .unwrap_or(way)
        .max(1)
        .min(way);
    if target >= window {
        window.saturating_add(part)
    } else {
        window.saturating_sub(part)
    }
}

/// Whether somebody else uses the backing disk of a resync, and how much the resync then keeps for itself
/// (`c-min-rate`).
///
/// The disk counts the sectors of everybody. What is beyond the resync's own is somebody else's. Both numbers are never
/// taken at the same instant: own sectors are counted when they are started, so that the difference is behind by what is
/// under way, and only more than it ever was tells of others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Courtesy {
    /// Sectors of resync that were started.
    own: u64,
    /// The most that the disk did beyond `own`.
    others: Option<u64>,
    /// Until when others have the right of way.
    until: u64,
    /// When the disk was looked at last.
    looked_at: Option<u64>,
    /// Sectors that the low rate allows, in thousandths; requests may take it below zero.
    budget: i64,
    /// When time was paid out last.
    paid_at: u64,
}

/// So many sectors of others are no load.
const UNNOTICED: u64 = 64;
/// How long others keep the right of way after they were seen, in milliseconds.
const RIGHT_OF_WAY_MS: u64 = 250;

impl Courtesy {
    /// A resync starts I/O of its own.
    pub(super) fn own_io(&mut self, sectors: u64) {
        self.own = self.own.wrapping_add(sectors);
    }

    /// Whether it is time to look at the disk again.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.looked_at
            .is_none_or(|at| now.saturating_sub(at) >= INTERVAL_MS)
    }

    /// All that the disk did since it exists, in sectors.
    pub(super) fn look(&mut self, now: u64, done: u64) {
        self.looked_at = Some(now);
        let others = done.wrapping_sub(self.own);
        let Some(most) = self.others else {
            self.others = Some(others);
            return;
        };
        // The difference may wrap below zero while nothing but the resync is done.
        let more = others.wrapping_sub(most);
        if more > UNNOTICED && more < u64::MAX / 2 {
            self.others = Some(others);
            if now >= self.until {
                // The first time: what the resync took before is not held against it.
                self.budget = 0;
                self.paid_at = now;
            }
            self.until = now.saturating_add(RIGHT_OF_WAY_MS);
        }
    }

    /// The rate that a resync keeps to at the moment, in sectors in a second, if it has to keep to one.
    pub(super) fn rate(&self, now: u64, c_min_rate: u32) -> Option<u64> {
        (c_min_rate > 0 && now < self.until).then(|| u64::from(c_min_rate).saturating_mul(2))
    }

    /// Whether a source may read so many sectors now; if so, they are spent.
    pub(super) fn may_read(&mut self, now: u64, c_min_rate: u32, sectors: u64) -> bool {
        let Some(rate) = self.rate(now, c_min_rate) else {
            return true;
        };
        let earned = rate.saturating_mul(now.saturating_sub(self.paid_at));
        let most = i64::try_from(in_an_interval(rate).saturating_mul(1000)).unwrap_or(i64::MAX);
        self.paid_at = self.paid_at.max(now);
        self.budget = self
            .budget
            .saturating_add(i64::try_from(earned).unwrap_or(i64::MAX))
            .min(most);
        if self.budget <= 0 {
            return false;
        }
        let cost = i64::try_from(sectors.saturating_mul(1000)).unwrap_or(i64::MAX);
        self.budget = self.budget.saturating_sub(cost);
        true
    }
}

#[cfg(test)]
mod tests;
