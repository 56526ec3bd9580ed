// SPDX-License-Identifier: GPL-2.0-only

//! The simulator: two nodes that run the very engine of `drbd.ko`, in a world that is decided by one number.

pub mod admin;
pub mod app;
pub mod chaos;
pub mod check;
pub mod coverage;
pub mod dialect;
pub mod digest;
pub mod directed;
pub mod disk;
pub mod integrity;
pub mod link;
pub mod metadata;
pub mod node;
pub mod play;
pub mod rng;
pub mod script;
pub mod secrets;
pub mod shell;
pub mod shrink;
pub mod world;
