// SPDX-License-Identifier: GPL-2.0-only

//! What options must obey together, and with the state of the resource.

use super::disk::{
    DiskConf,
    AL_EXTENTS_MAX,
    AL_EXTENTS_MIN,
    META_INDEX_FLEXIBLE_INTERNAL, //
};
use super::net::NetConf;
use super::parameters::ResizeParms;
use super::policy::{
    Fencing,
    OnCongestion,
    Protocol, //
};
use crate::return_code::ReturnCode;

/// Highest minor of a block device (`MINORMASK`).
pub const MINOR_MAX: u32 = (1 << 20) - 1;
/// Highest number of a volume in its resource (`DRBD_VOLUME_MAX`).
pub const VOLUME_MAX: u32 = 65_534;

/// Context entries in one transaction of the activity log (`AL_CONTEXT_PER_TRANSACTION`).
const AL_CONTEXT_PER_TRANSACTION: u32 = 919;
/// Largest activity log, in KiB.
const AL_SIZE_MAX_KIB: u32 = 16 << 20;
/// Smallest activity log, in KiB.
const AL_SIZE_MIN_KIB: u32 = 32;

/// A device of the connection whose options are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Its fencing policy, while it has a disk.
    pub fencing: Option<Fencing>,
    /// Whether it is Primary here.
    pub is_primary: bool,
}

/// The connection whose options are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// The protocol version agreed with the peer, while there is one.
    pub agreed_version: Option<u32>,
    /// Whether any device is Primary here.
    pub is_primary: bool,
    /// Whether any device is Primary at the peer.
    pub peer_is_primary: bool,
    /// Whether a resync is running or paused.
    pub resync_running: bool,
    /// Whether online verify is running.
    pub verify_running: bool,
}

/// Whether `new` may become the options of a connection, in the place of `old` if it had some.
pub fn net_options(
    old: Option<&NetConf>,
    new: &NetConf,
    connection: &ConnectionFacts,
    devices: impl IntoIterator<Item = DeviceFacts>,
) -> Result<(), ReturnCode> {
    if let (Some(old), Some(..=99)) = (old, connection.agreed_version) {
        // An older peer cannot be told of these while connected.
        if new.wire_protocol != old.wire_protocol
            || new.two_primaries != old.two_primaries
            || new.integrity_alg != old.integrity_alg
        {
            return Err(ReturnCode::NeedApv100);
        }
    }
    if !new.two_primaries && connection.is_primary && connection.peer_is_primary {
        return Err(ReturnCode::NeedAllowTwoPri);
    }
    if new.two_primaries && new.wire_protocol != Protocol::C {
        return Err(ReturnCode::NotProtoC);
    }
    for device in devices {
        if new.wire_protocol == Protocol::A && device.fencing == Some(Fencing::Stonith) {
            return Err(ReturnCode::StonithAndProtA);
        }
        if device.is_primary && new.discard_my_data {
            return Err(ReturnCode::DiscardImpossible);
        }
    }
    if new.on_congestion != OnCongestion::Block && new.wire_protocol != Protocol::A {
        return Err(ReturnCode::CongNotProtoA);
    }
    if let Some(old) = old {
        if connection.resync_running && new.csums_alg != old.csums_alg {
            return Err(ReturnCode::CsumsResyncRunning);
        }
        if connection.verify_running && new.verify_alg != old.verify_alg {
            return Err(ReturnCode::VerifyRunning);
        }
    }
    Ok(())
}

/// Whether a disk may be attached with these options beside those of the connection, before any device is opened.
pub fn attach(disk: &DiskConf, net: Option<&NetConf>) -> Result<(), ReturnCode> {
    if disk.meta_dev_idx < META_INDEX_FLEXIBLE_INTERNAL {
        return Err(ReturnCode::MdIdxInvalid);
    }
    match net {
        Some(net) if disk.fencing == Fencing::Stonith && net.wire_protocol == Protocol::A => {
            Err(ReturnCode::StonithAndProtA)
        }
        _ => Ok(()),
    }
}

/// Whether the place of the metadata agrees with the devices that were opened.
pub fn metadata_place(disk: &DiskConf, same_device: bool) -> Result<(), ReturnCode> {
    if disk.has_internal_metadata() == same_device {
        Ok(())
    } else {
        Err(ReturnCode::MdIdxInvalid)
    }
}

/// Whether `minor` may wait for the resync of `after` (-1: of none). `next` names the minor that another one waits for,
/// or `None` where the chain ends: no such device, no disk, waits for nobody.
pub fn resync_after(
    minor: u32,
    after: i32,
    next: impl Fn(u32) -> Option<u32>,
) -> Result<(), ReturnCode> {
    if after == -1 {
        return Ok(());
    }
    let mut at = u32::try_from(after).map_err(|_| ReturnCode::ResyncAfter)?;
    if at > MINOR_MAX {
        return Err(ReturnCode::ResyncAfter);
    }
    // No chain without a circle is longer than there are minors.
    for _ in 0..=MINOR_MAX {
        if at == minor {
            return Err(ReturnCode::ResyncAfterCycle);
        }
        match next(at) {
            Some(further) => at = further,
            None => return Ok(()),
        }
    }
    Err(ReturnCode::ResyncAfterCycle)
}

/// Most extents that an activity log of `al_size_4k` blocks of 4 KiB has room for.
pub fn al_extents_max(al_size_4k: u32) -> u32 {
    al_size_4k
        .saturating_sub(1)
        .saturating_mul(AL_CONTEXT_PER_TRANSACTION)
        .min(AL_EXTENTS_MAX)
}

/// How the backing device discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardLimits {
    /// Smallest unit, in bytes.
    pub granularity: u32,
    /// Most in one request, in bytes.
    pub max: u64,
}

/// Fits the options to the disk: the activity log to its place, the discard granularity to a multiple of what the
/// backing device discards. Answers whether the granularity changed, so that it can be logged.
pub fn fit_to_disk(conf: &mut DiskConf, al_size_4k: u32, discard: Option<DiscardLimits>) -> bool {
    conf.al_extents = conf
        .al_extents
        .max(AL_EXTENTS_MIN)
        .min(al_extents_max(al_size_4k));

    let wanted = conf.rs_discard_granularity;
    conf.rs_discard_granularity = match discard {
        _ if wanted == 0 => 0,
        None => 0,
        Some(limits) => {
            let unit = limits.granularity.max(1);
            let whole = wanted
                .max(unit)
                .checked_next_multiple_of(unit)
                .unwrap_or(unit);
            let max = u32::try_from(limits.max).unwrap_or(u32::MAX);
            if whole <= max {
                whole
            } else {
                max.checked_rem(unit)
                    .and_then(|rest| max.checked_sub(rest))
                    .unwrap_or(0)
            }
        }
    };
    conf.rs_discard_granularity != wanted
}

/// Whether the activity log may get the layout of `parms`, if that is another one than `al_stripes` of
/// `al_stripe_size` KiB. Answers whether it is.
pub fn al_layout(
    parms: &ResizeParms,
    al_stripes: u32,
    al_stripe_size: u32,
    is_connected: bool,
) -> Result<bool, ReturnCode> {
    if parms.al_stripes == al_stripes && parms.al_stripe_size / 4 == al_stripe_size / 4 {
        return Ok(false);
    }
    let size = parms.al_stripes.saturating_mul(parms.al_stripe_size);
    if size > AL_SIZE_MAX_KIB {
        return Err(ReturnCode::MdLayoutTooBig);
    }
    if size < AL_SIZE_MIN_KIB {
        return Err(ReturnCode::MdLayoutTooSmall);
    }
    if !is_connected && !parms.resize_force {
        return Err(ReturnCode::MdLayoutConnected);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::Text;

    fn check(new: &NetConf, device: DeviceFacts) -> Result<(), ReturnCode> {
        net_options(None, new, &ConnectionFacts::default(), [device])
    }

    const SECONDARY: DeviceFacts = DeviceFacts {
        fencing: Some(Fencing::Stonith),
        is_primary: false,
    };

    #[test]
    fn options_that_exclude_each_other() {
        let default = NetConf::default();
        assert_eq!(check(&default, SECONDARY), Ok(()));
        let with_a = NetConf {
            wire_protocol: Protocol::A,
            ..default.clone()
        };
        assert_eq!(check(&with_a, SECONDARY), Err(ReturnCode::StonithAndProtA));
        let two = NetConf {
            two_primaries: true,
            ..with_a.clone()
        };
        assert_eq!(check(&two, SECONDARY), Err(ReturnCode::NotProtoC));
        let congestion = NetConf {
            on_congestion: OnCongestion::PullAhead,
            ..default.clone()
        };
        assert_eq!(
            check(&congestion, SECONDARY),
            Err(ReturnCode::CongNotProtoA)
        );
        let discard = NetConf {
            discard_my_data: true,
            ..default
        };
        let primary = DeviceFacts {
            fencing: None,
            is_primary: true,
        };
        assert_eq!(check(&discard, primary), Err(ReturnCode::DiscardImpossible));
        assert_eq!(check(&discard, SECONDARY), Ok(()));
    }

    #[test]
    fn options_in_use_stay() {
        let old = NetConf::default();
        let new = NetConf {
            csums_alg: Text::new(b"crc32c").unwrap(),
            verify_alg: Text::new(b"crc32c").unwrap(),
            ..old.clone()
        };
        let mut facts = ConnectionFacts {
            agreed_version: Some(101),
            resync_running: true,
            ..ConnectionFacts::default()
        };
        let run = |facts: &ConnectionFacts| net_options(Some(&old), &new, facts, []);
        assert_eq!(run(&facts), Err(ReturnCode::CsumsResyncRunning));
        facts.resync_running = false;
        facts.verify_running = true;
        assert_eq!(run(&facts), Err(ReturnCode::VerifyRunning));
        facts.verify_running = false;
        assert_eq!(run(&facts), Ok(()));

        facts.is_primary = true;
        facts.peer_is_primary = true;
        assert_eq!(run(&facts), Err(ReturnCode::NeedAllowTwoPri));

        let facts = ConnectionFacts {
            agreed_version: Some(99),
            ..ConnectionFacts::default()
        };
        let with_b = NetConf {
            wire_protocol: Protocol::B,
            ..old.clone()
        };
        assert_eq!(
            net_options(Some(&old), &with_b, &facts, []),
            Err(ReturnCode::NeedApv100)
        );
        assert_eq!(net_options(None, &with_b, &facts, []), Ok(()));
    }

    #[test]
    fn attach_checks_place_and_fencing() {
        let mut disk = DiskConf {
            meta_dev_idx: -4,
            ..DiskConf::default()
        };
        assert_eq!(attach(&disk, None), Err(ReturnCode::MdIdxInvalid));
        disk.meta_dev_idx = -3;
        assert_eq!(attach(&disk, None), Ok(()));
        assert_eq!(metadata_place(&disk, true), Ok(()));
        assert_eq!(metadata_place(&disk, false), Err(ReturnCode::MdIdxInvalid));
        disk.fencing = Fencing::Stonith;
        let net = NetConf {
            wire_protocol: Protocol::A,
            ..NetConf::default()
        };
        assert_eq!(attach(&disk, Some(&net)), Err(ReturnCode::StonithAndProtA));
    }

    #[test]
    fn resync_order_has_no_circle() {
        let next = |minor| match minor {
            1 => Some(2),
            2 => Some(3),
            3 => None,
            7 => Some(8),
            8 => Some(7),
            _ => None,
        };
        assert_eq!(resync_after(0, -1, next), Ok(()));
        assert_eq!(resync_after(0, 1, next), Ok(()));
        assert_eq!(resync_after(3, 1, next), Err(ReturnCode::ResyncAfterCycle));
        assert_eq!(resync_after(5, 5, next), Err(ReturnCode::ResyncAfterCycle));
        assert_eq!(resync_after(5, 7, next), Err(ReturnCode::ResyncAfterCycle));
        assert_eq!(resync_after(0, -2, next), Err(ReturnCode::ResyncAfter));
        assert_eq!(resync_after(0, 1 << 20, next), Err(ReturnCode::ResyncAfter));
    }

    #[test]
    fn options_are_fitted_to_the_disk() {
        assert_eq!(al_extents_max(8), 7 * 919);
        assert_eq!(al_extents_max(1000), AL_EXTENTS_MAX);
        let mut conf = DiskConf {
            al_extents: 60_000,
            rs_discard_granularity: 5000,
            ..DiskConf::default()
        };
        let limits = DiscardLimits {
            granularity: 4096,
            max: 1 << 30,
        };
        assert!(fit_to_disk(&mut conf, 8, Some(limits)));
        assert_eq!(conf.al_extents, 6433);
        assert_eq!(conf.rs_discard_granularity, 8192);
        assert!(!fit_to_disk(&mut conf, 8, Some(limits)));
        let small = DiscardLimits {
            granularity: 512,
            max: 4000,
        };
        assert!(fit_to_disk(&mut conf, 8, Some(small)));
        assert_eq!(conf.rs_discard_granularity, 3584);
        assert!(fit_to_disk(&mut conf, 8, None));
        assert_eq!(conf.rs_discard_granularity, 0);
    }

    #[test]
    fn a_new_log_layout_needs_reason() {
        let parms = |al_stripes, al_stripe_size, resize_force| ResizeParms {
            al_stripes,
            al_stripe_size,
            resize_force,
            ..ResizeParms::default()
        };
        assert_eq!(al_layout(&parms(1, 32, false), 1, 32, false), Ok(false));
        assert_eq!(al_layout(&parms(2, 32, false), 1, 32, true), Ok(true));
        assert_eq!(al_layout(&parms(2, 32, true), 1, 32, false), Ok(true));
        assert_eq!(
            al_layout(&parms(2, 32, false), 1, 32, false),
            Err(ReturnCode::MdLayoutConnected)
        );
        assert_eq!(
            al_layout(&parms(1, 16, false), 1, 32, true),
            Err(ReturnCode::MdLayoutTooSmall)
        );
        // The C driver multiplies in 32 bits and lets this one wrap around.
        assert_eq!(
            al_layout(&parms(1024, 16_777_216, true), 1, 32, true),
            Err(ReturnCode::MdLayoutTooBig)
        );
    }
}
