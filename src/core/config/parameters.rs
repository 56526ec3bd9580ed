// SPDX-License-Identifier: GPL-2.0-only

//! What comes along with single commands.

use super::option::{
    options,
    Range, //
};
use crate::netlink::group;

options! {
    /// How the role is changed (`struct set_role_parms`).
    pub struct SetRoleParms in group::SET_ROLE_PARMS;

    /// Take the data as good, whatever its state (`primary --force`).
    assume_uptodate: bool = false,
        1 "force" None Range::Any, AtRunTime;
}

options! {
    /// How a device is resized (`struct resize_parms`).
    pub struct ResizeParms in group::RESIZE_PARMS;

    /// New limit, in sectors; 0 is no limit.
    resize_size: u64 = 0,
        1 "size" Sectors Range::Within(0, 2 << 40), AtRunTime;
    /// Go on where the peer cannot be asked.
    resize_force: bool = false,
        2 "assume-peer-has-space" None Range::Any, AtRunTime;
    /// Take the new part as equal on both nodes.
    no_resync: bool = false,
        3 "assume-clean" None Range::Any, AtRunTime;
    /// Stripes of the activity log.
    al_stripes: u32 = 1,
        4 "al-stripes" Count Range::Within(1, 1024), AtRunTime;
    /// Size of one stripe of the activity log, in KiB.
    al_stripe_size: u32 = 32,
        5 "al-stripe-size-kB" Kibibytes Range::Within(4, 16_777_216), AtRunTime;
}

options! {
    /// What online verify looks at (`struct start_ov_parms`).
    pub struct StartVerifyParms in group::START_OV_PARMS;

    /// First sector; default is where the last run stopped, which the caller knows.
    start_sector: u64 = 0,
        1 "start" Sectors Range::Any, AtRunTime;
    /// First sector not to look at; `u64::MAX` is the end of the device.
    stop_sector: u64 = u64::MAX,
        2 "stop" Sectors Range::Any, AtRunTime;
}

options! {
    /// What a new data generation does to the bitmap (`struct new_c_uuid_parms`).
    pub struct NewCurrentUuidParms in group::NEW_C_UUID_PARMS;

    /// Take the data of both nodes as equal.
    clear_bitmap: bool = false,
        1 "clear-bitmap" None Range::Any, AtRunTime;
}

options! {
    /// How a connection is ended (`struct disconnect_parms`).
    pub struct DisconnectParms in group::DISCONNECT_PARMS;

    /// Without the consent of the peer.
    force: bool = false,
        1 "force" None Range::Any, AtRunTime;
}

options! {
    /// How a disk is given up (`struct detach_parms`).
    pub struct DetachParms in group::DETACH_PARMS;

    /// Without waiting for I/O in flight.
    force: bool = false,
        1 "force" None Range::Any, AtRunTime;
}
