// SPDX-License-Identifier: GPL-2.0-only

//! The replication engine of DRBD: values in, effects out.
//!
//! This crate is pure. It holds no unsafe code, allocates nothing, reads no clock, does no I/O and knows no kernel, so
//! that the very same files run inside `drbd.ko`, in host tests and in the simulator. See `Documentation/design.md`.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

#[cfg(test)]
extern crate std;

pub mod activity_log;
pub mod bitmap;
pub mod bytes;
pub mod config;
pub mod discard;
pub mod meta;
pub mod netlink;
pub mod num;
pub mod overlap;
pub mod proc_text;
pub mod resource;
pub mod return_code;
pub mod ring;
pub mod size_text;
pub mod slab;
pub mod state;
pub mod uuid;
pub mod wire;
