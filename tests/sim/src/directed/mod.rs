// SPDX-License-Identifier: GPL-2.0-only

//! Directed stories: small worlds in which one thing goes wrong, at its worst moment. Chance would come by there once in
//! thousands of seeds; here a few seeds vary the details, and all of them together take a second.
//!
//! A new story is a function in a file here, and a line in [`ALL`]. It says what it expects: an error is a promise that was
//! broken, as is what any checker has to say.

mod ahead;
mod answers;
mod bitmaps;
mod corrected;
mod courtesy;
mod diskless;
mod dry_run;
mod early_target;
mod epochs;
mod extents;
mod generations;
mod handshake;
mod invalidate;
mod lost_answers;
mod no_data;
mod reads;
mod roles;
mod split_brain;
mod target;
mod volumes;
mod waiting;
mod writes_fail;

use bumpalo::Bump;
use drbd_core::resource::request::Operation;
use drbd_core::state::{ConnectionState, DiskState, State};

use crate::admin::Admin;
use crate::app::io;
use crate::world::{Setup, World};

pub const ALICE: usize = 0;
pub const BOB: usize = 1;
/// Microseconds.
pub const SECOND: u64 = 1_000_000;

/// How a story, or a part of it, ended.
pub type Told = Result<(), String>;

/// A story.
pub struct Story {
    pub name: &'static str,
    /// Seeds that make a difference: 1 to this.
    pub seeds: u64,
    /// The world in which it happens.
    pub setup: fn(seed: u64) -> Setup,
    /// Lets it happen.
    pub happen: fn(&mut World<'_>) -> Told,
}

/// Every story.
pub const ALL: &[&Story] = &[
    &ahead::AHEAD_AGAIN,
    &ahead::AHEAD_OF_A_FORMER_DISK,
    &ahead::AHEAD_OF_A_QUESTION,
    &ahead::AHEAD_OF_A_TARGET_THAT_IS_DONE,
    &ahead::AHEAD_AT_ONCE,
    &ahead::AHEAD_AND_UNREADABLE,
    &ahead::AHEAD_WHILE_ASKING,
    &ahead::AHEAD_WHILE_INVALIDATING,
    &answers::BARRIER,
    &answers::READ,
    &answers::SLOW_LINE,
    &bitmaps::BROKEN_OFF,
    &bitmaps::SENT_TWICE,
    &corrected::SLOW_SOURCE,
    &corrected::DISK_COMES_BACK,
    &courtesy::VERIFIED,
    &courtesy::VERIFIES,
    &diskless::BOTH_DISKS,
    &diskless::FIRST_WRITE,
    &diskless::ATTACHED_AT_ONCE,
    &diskless::OLDER_DATA,
    &dry_run::PEER_ASKS,
    &early_target::FULL_RESYNC,
    &early_target::SOURCE_DISK_LOST,
    &epochs::BEHIND_A_LOST_BARRIER,
    &epochs::FAILED_FLUSH,
    &epochs::LAST_WRITE,
    &epochs::LATER_EPOCH,
    &epochs::POWER_LOST_IN_FLUSH,
    &extents::CLEAN_SUPERBLOCK,
    &extents::CROSSING_WRITE,
    &generations::LOST_TARGET,
    &generations::NAME_NOT_HEARD,
    &generations::LOST_TARGET_OF_NOTHING,
    &generations::NEW_UUID,
    &generations::OLD_DISK,
    &generations::PROMOTED,
    &generations::OUTDATED,
    &generations::OUTDATED_AND_REFUSED,
    &generations::OUTDATED_IN_USE,
    &generations::OUTDATED_MEETS_DISKLESS,
    &handshake::ERROR_PASSED_ON,
    &handshake::NOTHING_HEARD,
    &invalidate::INVALIDATE,
    &invalidate::INVALIDATE_AND_CUT,
    &invalidate::ANSWER_IS_SLOWER,
    &invalidate::INVALIDATE_THE_LAST_DISK,
    &lost_answers::ASKED_AGAIN,
    &lost_answers::ASKED_TOO_LATE,
    &lost_answers::WRITTEN_TO,
    &lost_answers::LATE_ZEROS,
    &no_data::SOURCE_GONE,
    &no_data::SOURCE_GOES,
    &reads::PRIMARY_TARGET,
    &reads::SLOWER_DISK,
    &reads::WORTHLESS_DISK,
    &roles::BOTH_ASK,
    &roles::TAKEN_OVER,
    &split_brain::LEAST_CHANGES,
    &split_brain::PRIMARY_LOST,
    &target::LATE_SYNC_UUID,
    &target::LATE_WORD,
    &target::NOTHING_TO_DO,
    &target::OLD_SYNC_UUID,
    &target::PAUSED,
    &target::PROMOTED_AT_THE_END,
    &target::SLOW_METADATA,
    &target::CRASHES_IN_A_LONG_RESYNC,
    &target::WRITE_OUTLIVES_LINK,
    &target::WRITTEN_WHILE_FLUSHING,
    &target::WRITTEN_WITHOUT_PAUSE,
    &volumes::ADDED,
    &volumes::ADDED_WITH_DISK,
    &volumes::BUFFERS,
    &volumes::OUTDATED_BY_LEAVING,
    &volumes::ON_ONE_NODE,
    &waiting::SUSPENDED,
    &waiting::CONSENT_LOST,
    &waiting::OVERLAPPING,
    &waiting::LINK_LOST,
    &writes_fail::NO_LENGTH,
    &writes_fail::OWN_WRITE,
    &writes_fail::PEER_WRITE,
    &writes_fail::RESYNC_WRITE,
    &writes_fail::SECOND_ATTEMPT,
    &writes_fail::SOURCE_REFUSES,
];

/// The story of that name.
pub fn find(name: &str) -> Option<&'static Story> {
    ALL.iter().copied().find(|story| story.name == name)
}

/// Plays a story once. What went wrong, and who noticed: a checker, or the story.
pub fn play(story: &Story, seed: u64, loud: bool) -> Option<(String, &'static str)> {
    let arena = Bump::new();
    let mut world = World::new(&arena, seed, (story.setup)(seed));
    world.loud |= loud;
    let told = (story.happen)(&mut world);
    let first = world.failures.first().cloned();
    match (first, told) {
        (Some(failure), _) => Some((failure, world.failed_in)),
        (None, Err(why)) => Some((why, story.name)),
        (None, Ok(())) => None,
    }
}

/// An expectation.
pub fn expect(holds: bool, what: &str) -> Told {
    if holds {
        Ok(())
    } else {
        Err(format!("{what}: it is not so"))
    }
}

impl<'a> World<'a> {
    /// Waits until something is so.
    fn reach(&mut self, what: &str, done: impl Fn(&World<'a>) -> bool) -> Told {
        if self.run_until(60 * SECOND, done) {
            return Ok(());
        }
        let states: Vec<_> = (0..2).map(|node| self.engine_state(node, 0)).collect();
        let busy = self.busy();
        Err(format!("{what} is not reached: {states:?}{busy}"))
    }

    fn state(&self, node: usize) -> Result<State, String> {
        self.engine_state(node, 0)
            .ok_or(format!("node {node} is down"))
    }

    /// Waits until the state of a node that is up is so.
    fn reach_state(&mut self, what: &str, node: usize, is: impl Fn(&State) -> bool) -> Told {
        self.reach(what, |world| {
            world.engine_state(node, 0).is_some_and(|state| is(&state))
        })
    }

    /// The cable is out, and a node has noticed.
    fn lose_peer(&mut self) -> Told {
        self.set_network(false);
        self.reach("the loss of the peer", |world| !world.is_connected())
    }

    /// The cable is out, all that was in it is lost, and a node has noticed.
    fn part(&mut self) -> Told {
        self.set_network(false);
        self.cut();
        self.lose_peer()
    }

    /// Both are configured, and connected.
    fn both_up(&mut self) -> Told {
        self.up(ALICE);
        self.up(BOB);
        self.reach("a connection", World::is_connected)
    }

    /// Both connected, alice a Primary with the data, both UpToDate.
    fn synced(&mut self) -> Told {
        self.both_up()?;
        self.command(ALICE, Admin::PromoteForced(0))?;
        self.settled()
    }

    fn is_connected(&self) -> bool {
        (0..2).all(|node| {
            self.engine_state(node, 0)
                .is_some_and(|state| state.connection >= ConnectionState::Connected)
        })
    }

    /// Both UpToDate, and nothing under way; the disks are compared.
    fn settled(&mut self) -> Told {
        self.reach("order", |world| world.in_sync() && world.is_idle())?;
        self.check(|checker, world| checker.moment(world));
        Ok(())
    }

    /// Starts a node again after a crash.
    fn reboot(&mut self, node: usize) {
        self.boot(node);
        self.up(node);
    }

    /// Submits a write with content of its own.
    fn put_write(&mut self, node: usize, sector: u64, sectors: u64) -> u64 {
        self.put_request(node, Operation::Write, sector, sectors)
    }

    fn put_request(&mut self, node: usize, what: Operation, sector: u64, sectors: u64) -> u64 {
        let value = self.history.next + 1;
        let values = match what {
            Operation::Write => vec![value; sectors as usize],
            Operation::Discard | Operation::WriteZeroes => vec![0; sectors as usize],
            Operation::Read | Operation::Flush => Vec::new(),
        };
        self.submit(node, 0, io(what, sector, sectors), values)
    }

    /// Waits for the end of a request, which has to be a good one.
    fn succeeds(&mut self, number: u64, what: &str) -> Told {
        expect(self.request_result(number) == Some(true), what)
    }

    /// A write that succeeds; its number, which is what it writes.
    fn written(&mut self, node: usize, sector: u64, sectors: u64) -> Result<u64, String> {
        let number = self.put_write(node, sector, sectors);
        self.succeeds(number, "a write succeeds")?;
        Ok(number)
    }

    /// Disks and cables work again, and an administrator puts everything right that needs one.
    fn mend(&mut self) -> Told {
        for node in &mut self.nodes {
            node.habits.clear();
        }
        self.set_network(true);
        for _ in 0..60 {
            if self.run_until(SECOND, |world| world.in_sync() && world.is_idle()) {
                return self.settled();
            }
            for node in 0..2 {
                let Some(state) = self.engine_state(node, 0) else {
                    self.reboot(node);
                    continue;
                };
                if state.disk == DiskState::Diskless {
                    let _ = self.command(node, Admin::Attach(0));
                }
                if state.connection == ConnectionState::StandAlone {
                    let _ = self.command(node, Admin::Connect);
                }
                // A disk that passed an error on stays Inconsistent until it is attached anew.
                if state.connection == ConnectionState::Connected
                    && state.disk == DiskState::Inconsistent
                    && state.peer_disk == DiskState::UpToDate
                {
                    let _ = self.command(node, Admin::Detach(0));
                }
            }
        }
        self.reach("order, with all the help there is", |world| world.in_sync())
    }
}
