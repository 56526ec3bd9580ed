// SPDX-License-Identifier: GPL-2.0-only

//! `resync-after`: a device that lets another one resync first.
//!
//! The other one is named by its minor, and may belong to any resource, so no engine sees the whole. Each tells how its
//! devices [stand](Standing); who sees all engines asks [`may_resync`] for each device, whenever one of them changed, and
//! tells the engine what it answers ([`set_dependency_pause`](Resource::set_dependency_pause)). A pause goes to the peer,
//! and holds there as well.

use super::device::DeviceIndex;
use super::Resource;
use crate::state::{Change, ConnectionState, DiskState, State};

/// What other devices have to know of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The minor that it lets go first.
    pub after: Option<u32>,
    /// It resyncs, or its resync is paused for whatever reason: who comes after it waits.
    pub in_the_way: bool,
    /// It waits itself.
    pub waits: bool,
}

/// Whether the device with this minor may resync now. `standing` answers for any minor; `None` where it has no disk, or
/// there is no such device: the chain ends there. A chain that comes back is none.
pub fn may_resync(minor: u32, standing: impl Fn(u32) -> Option<Standing>) -> bool {
    let mut at = minor;
    // No sensible chain is longer; one with a circle is left alone, so that it holds nobody up.
    for _ in 0..LONGEST_CHAIN {
        let Some(next) = standing(at).and_then(|standing| standing.after) else {
            return true;
        };
        if next == minor {
            return true;
        }
        match standing(next) {
            None => return true,
            Some(found) if found.in_the_way => return false,
            Some(_) => at = next,
        }
    }
    true
}

const LONGEST_CHAIN: u32 = 4096;

/// Whether a change of state matters to devices that come after this one, or to itself.
pub fn concerns_others(old: &State, new: &State) -> bool {
    let has_disk = |state: &State| state.disk > DiskState::Attaching;
    in_the_way(old) != in_the_way(new)
        || has_disk(old) != has_disk(new)
        || old.after_dependency_paused != new.after_dependency_paused
        || (old.disk == DiskState::Diskless) != (new.disk == DiskState::Diskless)
        || (old.connection == ConnectionState::StandAlone)
            != (new.connection == ConnectionState::StandAlone)
}

fn in_the_way(state: &State) -> bool {
    state.connection.is_resync() || state.is_resync_paused()
}

impl Resource<'_> {
    /// How a device stands; `None` without a disk.
    pub fn standing(&self, index: DeviceIndex) -> Option<Standing> {
        let device = self.device(index)?;
        let disk = device.disk.as_ref()?;
        if device.state.disk == DiskState::Diskless {
            return None;
        }
        Some(Standing {
            after: u32::try_from(disk.conf.resync_after).ok(),
            in_the_way: in_the_way(&device.state),
            waits: device.state.after_dependency_paused,
        })
    }

    /// Says whether the resync of a device has to wait for that of another one. True where that is news.
    pub fn set_dependency_pause(&mut self, index: DeviceIndex, wait: bool) -> bool {
        let Some(state) = self.device(index).map(|device| device.state) else {
            return false;
        };
        if state.after_dependency_paused == wait {
            return false;
        }
        let change = Change::none().after_dependency_paused(wait);
        self.change(index, change, true).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn device(after: Option<u32>, in_the_way: bool) -> Option<Standing> {
        Some(Standing {
            after,
            in_the_way,
            waits: false,
        })
    }

    fn may(devices: &[Option<Standing>], minor: u32) -> bool {
        may_resync(minor, |minor| devices.get(minor as usize).copied()?)
    }

    #[test]
    fn the_first_in_the_chain_that_is_busy_counts() {
        let chain = |busy| {
            [
                device(None, busy == 0),
                device(Some(0), busy == 1),
                device(Some(1), busy == 2),
            ]
        };
        for (busy, expected) in [
            (0, [true, false, false]),
            (1, [true, true, false]),
            (2, [true, true, true]),
            (3, [true, true, true]),
        ] {
            let devices = chain(busy);
            assert_eq!([0, 1, 2].map(|minor| may(&devices, minor)), expected);
        }
    }

    #[test]
    fn the_chain_ends_where_there_is_no_disk() {
        let devices = [
            device(None, true),
            None,
            device(Some(1), false),
            device(Some(9), false),
        ];
        assert!(may(&devices, 2));
        assert!(may(&devices, 3));
    }

    #[test]
    fn a_circle_holds_nobody_up_for_ever() {
        let devices = [
            device(Some(1), false),
            device(Some(0), false),
            device(Some(2), true),
        ];
        assert!(may(&devices, 0) && may(&devices, 1) && may(&devices, 2));
    }

    proptest! {
        #[test]
        fn somebody_may_always_resync(after in prop::collection::vec(prop::option::of(0..12_u32), 12), wants in any::<u16>()) {
            // As who sees all does it: whoever wants runs, or waits for another that does.
            let mut runs = [false; 12];
            let mut waits = [false; 12];
            for _ in 0..40 {
                for minor in 0..12 {
                    let devices: Vec<_> = (0..12)
                        .map(|one| {
                            let up = after[one].is_none_or(|next| next < one as u32);
                            let after = after[one].filter(|_| up);
                            device(after, runs[one] || waits[one])
                        })
                        .collect();
                    waits[minor] = !may(&devices, minor as u32);
                    runs[minor] = wants & (1 << minor) != 0 && !waits[minor];
                }
            }
            prop_assert!(wants & 0xfff == 0 || runs.contains(&true));
        }
    }
}
