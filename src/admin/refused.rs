// SPDX-License-Identifier: GPL-2.0-only

//! Why a command is not carried out. Here is all that this driver does not do (yet): it says so.

use core::fmt::{
    self,
    Write, //
};

use drbd_core::{
    config::{
        DiskConf,
        Fencing,
        NetConf, //
    },
    netlink::context::Refusal,
    return_code::ReturnCode, //
};
use kernel::prelude::*;

use crate::resource::{
    algorithms::Algorithms,
    Refused, //
};

/// How a command ended: a number of `enum drbd_ret_code` or `enum drbd_state_rv`, or why it was refused.
pub(super) type Outcome = Result<i32, Refused>;

/// A command was carried out.
pub(super) const DONE: Outcome = Ok(ReturnCode::NoError.number());

/// A refusal with words.
pub(super) fn refused(code: ReturnCode, words: &dyn fmt::Display) -> Refused {
    let mut refused = Refused::from(code);
    // What does not fit is cut, which is no error.
    let _ = write!(refused.text, "{words}");
    refused
}

/// There is not enough memory.
pub(super) fn no_memory(_: Error) -> Refused {
    ReturnCode::NoMemory.into()
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        refused(refusal.code, &refusal.reason)
    }
}

/// What this driver does not do.
pub(super) fn not_supported(code: ReturnCode, what: &str) -> Refused {
    refused(
        code,
        &format_args!("{what} is not supported by this driver yet"),
    )
}

/// Whether this driver can do what the options of a connection promise; gives the digests that they name.
pub(super) fn check_net_options(conf: &NetConf) -> Result<Algorithms, Refused> {
    if conf.two_primaries {
        return Err(not_supported(
            ReturnCode::InvalidRequest,
            "allow-two-primaries",
        ));
    }
    Ok(Algorithms::prepare(conf)?)
}

/// The same for the options of a disk.
pub(super) fn check_disk_options(conf: &DiskConf) -> Result<(), Refused> {
    if conf.fencing != Fencing::DontCare {
        return Err(not_supported(
            ReturnCode::InvalidRequest,
            "fencing other than dont-care",
        ));
    }
    Ok(())
}
