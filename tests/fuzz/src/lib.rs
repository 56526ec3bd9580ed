// SPDX-License-Identifier: GPL-2.0-only

//! Fuzz targets: each takes any bytes, and panics where the engine does not keep what it promises for them.

pub mod capture;
mod targets;

pub use targets::packet::is_without_meaning;

/// A target: what it is called, and what takes the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("packet", targets::packet::run),
    ("bitmap_runs", targets::bitmap_runs::run),
    ("superblock", targets::superblock::run),
    ("activity_log", targets::activity_log::run),
    ("netlink", targets::netlink::run),
    ("hostile_peer", targets::hostile_peer::run),
];

/// The target of that name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, run)| *run)
}
