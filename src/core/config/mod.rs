// SPDX-License-Identifier: GPL-2.0-only

//! The configuration of a resource, its devices and its connections.
//!
//! Each group of options is one table (`option.rs`), from which its structure, defaults, range checks, netlink parsing
//! and what `drbdsetup show` reads are derived. What depends on more than one option stands in [`check`].

pub mod check;
pub mod disk;
pub mod net;
pub mod option;
pub mod parameters;
pub mod policy;
pub mod resource;
pub mod text;

pub use disk::DiskConf;
pub use net::NetConf;
pub use option::{
    Configuration,
    OptionError,
    Purpose, //
};
pub use parameters::{
    DetachParms,
    DisconnectParms,
    NewCurrentUuidParms,
    ResizeParms,
    SetRoleParms,
    StartVerifyParms, //
};
pub use policy::{
    AfterSplitBrain0p,
    AfterSplitBrain1p,
    AfterSplitBrain2p,
    Fencing,
    OnCongestion,
    OnIoError,
    OnNoData,
    Protocol,
    ReadBalancing,
    RoleConflict,
    WriteOrdering, //
};
pub use resource::ResourceOptions;
pub use text::{
    Secret,
    Text, //
};
