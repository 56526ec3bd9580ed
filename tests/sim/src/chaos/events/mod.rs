// SPDX-License-Identifier: GPL-2.0-only

//! What can go wrong, or be done, in a world of chaos: a file for each kind.
//!
//! A new kind is a file with a `pub const EVENT: Event`, and its name in the list below.

// Not in the list: only some worlds have it, and not by weight.
pub mod split_brain;

use crate::rng::Rng;
use crate::world::World;

/// A kind of trouble.
pub struct Event {
    /// As the summary counts it.
    pub name: &'static str,
    /// How often it comes, against the others.
    pub weight: u64,
    /// Lets it happen to this world, with chance of its own. False where it does not fit what goes on, or is forbidden.
    pub happen: fn(&mut World<'_>, &mut Rng) -> bool,
}

macro_rules! events {
    ($($file:ident,)+) => {
        $( pub mod $file; )+

        /// Every kind there is.
        pub const ALL: &[&Event] = &[$( &$file::EVENT, )+];
    };
}

events! {
    attach_and_connect,
    attach_fails,
    boot,
    change_options,
    change_integrity,
    change_secret,
    cluster_manager,
    crash,
    crash_at_a_bad_moment,
    cut,
    damage,
    detach,
    detach_in_resync,
    disconnect,
    disk_errors,
    down,
    hanging_disk,
    invalidate,
    invalidate_remote,
    lost_blocks,
    network_is_back,
    outdate,
    partition,
    power_cut,
    pause_sync,
    resume_io,
    resume_sync,
    second_command,
    slow_link,
    stranger,
    suspend_io,
    verify,
    verify_rotten_disk,
    wild_commands,
}

/// Chooses one by weight.
pub fn pick(rng: &mut Rng) -> &'static Event {
    let sum = ALL.iter().map(|event| event.weight).sum();
    let mut left = rng.below(sum);
    for event in ALL {
        match left.checked_sub(event.weight) {
            Some(rest) => left = rest,
            None => return event,
        }
    }
    ALL[0]
}
